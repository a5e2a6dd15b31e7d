"""Batch: the one contract between data and everything else; Source: what serves batches; LogJoint: what scores z."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor


class Batch(NamedTuple):
    """Some rows of the data, in the units of the model."""

    x: Tensor
    """[B, D], float."""
    index: Tensor | None = None
    """[B], int64: which rows of the data that the model is trained on these are; None for rows of other data."""


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


class LogJoint(Protocol):
    """log p(x, z) of the rows of one batch, as a function of z: all that a posterior sees of the model."""

    def __call__(self, z: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return log p(x, z), [K, B], nats.

        Args:
            z: [K, B, latent_dim].
            rows: [B], int64: for which rows of the batch, if not for all.
        """
        ...
