"""Batch: the one contract between data and everything else; Source: what serves batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor


class Batch(NamedTuple):
    """Some rows of the data, in the units of the model."""

    x: Tensor
    """[B, D], float."""
    index: Tensor
    """[B], int64: which rows these are in the data they came from."""


class Source(Protocol):
    """N rows that can be read in batches."""

    def __len__(self) -> int:
        """N."""
        ...

    @property
    def n_columns(self) -> int:
        """D."""
        ...

    @property
    def log_det(self) -> float:
        """Nats to add to a log-density in model units to make it one in data units."""
        ...

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield every row once, in order, `size` at a time."""
        ...
