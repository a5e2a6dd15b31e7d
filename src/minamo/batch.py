"""Batch: the one contract between data and everything else."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Some rows of the data, in the units of the model."""

    x: Tensor
    """[B, D], float."""
    index: Tensor
    """[B], int64: which rows these are in the data they came from."""
