"""Facts: what one pass over the training rows says about them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.distributions.constraints import Constraint

from minamo.data.dataset import Dataset
from minamo.errors import DataError, SupportError


@dataclass(frozen=True)
class Facts:
    """Moments and ranges, in data units (stored values / divisor)."""

    n: int
    low: float
    high: float
    binary: bool
    """Only 0 and 1 occur."""
    mean: np.ndarray
    """[D], float64."""
    var: np.ndarray
    """[D], float64, divisor n."""

    def with_range_of(self, other: Facts) -> Facts:
        """The same moments, with the range of both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return replace(self, low=low, high=high, binary=self.binary and other.binary)

    @property
    def constant(self) -> np.ndarray:
        """Indices of the columns that hold one value only."""
        return np.flatnonzero(self.var == 0)


def gather(data: Dataset, index: np.ndarray | None = None) -> Facts:
    """Look at the rows of `index` (default: all) once, block by block.

    Moments are merged as by Chan, Golub and LeVeque (1983), so that a large mean costs no accuracy.
    """
    n, low, high, binary = 0, np.inf, -np.inf, True
    mean = np.zeros(data.x.shape[1])
    square = np.zeros_like(mean)
    least = np.full_like(mean, np.inf)
    most = -least
    for stored in data.blocks(index):
        block = stored / data.schema.divisor if data.schema.divisor != 1 else stored.astype(np.float64)
        least, most = np.minimum(least, block.min(0)), np.maximum(most, block.max(0))
        binary = binary and bool(((block == 0) | (block == 1)).all())
        m = len(block)
        block_mean = block.mean(0, dtype=np.float64)
        delta = block_mean - mean
        with np.errstate(over="ignore", invalid="ignore"):  # refused below, by name
            square += ((block - block_mean) ** 2).sum(0, dtype=np.float64) + delta**2 * n * m / (n + m)
        mean += delta * m / (n + m)
        n += m
    if not np.isfinite(square).all():
        column = data.schema.column(int(np.flatnonzero(~np.isfinite(square))[0]))
        raise DataError(f"{data.name} has values in {column} too large to be squared (above about 1e150): rescale it")
    low, high = float(least.min()), float(most.max())
    var = np.where(least == most, 0.0, square / max(n, 1))
    return Facts(n, low, high, binary, mean, var)


def refuse_outside(data: Dataset, support: Constraint, likelihood: str, remedies: str) -> None:
    """Raise SupportError naming the first value of `data` outside `support`."""
    row = 0
    for stored in data.blocks():
        inside = support.check(torch.from_numpy(stored / data.schema.divisor)).numpy()
        if not inside.all():
            i, j = np.argwhere(~inside)[0]
            raise SupportError(
                f"{data.name} has {stored[i, j] / data.schema.divisor:.6g} at row {row + i}, "
                f"{data.schema.column(int(j))}, outside the support of the {likelihood} likelihood: {remedies}"
            )
        row += len(stored)
