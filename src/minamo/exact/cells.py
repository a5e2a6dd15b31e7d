"""Which cells of the data are observed, and what must hold of those that are."""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from minamo.errors import DataError

Array: TypeAlias = Tensor | np.ndarray
"""What x and `observed` may come as."""

SINGULAR = 1e-10
"""Smallest share of a column's variance that may be left unexplained: below it log p keeps fewer than six digits."""


def checked(x: Array, observed: Array | None = None, *, n_columns: int | None = None) -> tuple[Tensor, Tensor | None]:
    """Return (x, observed) ready for arithmetic: whatever stands in a missing cell is gone.

    Args:
        x: [N, D], tensor or array.
        observed: bool [N, D], True where the cell was seen; None when nothing is missing.
        n_columns: the D a model expects.

    Returns:
        x in float64 with 0 in every missing cell, and the mask (None if every cell is observed).

    Raises:
        DataError: wrong shape or type, or an observed cell that is not finite (by row and column).

    >>> checked(np.array([[1.0, np.nan]]), np.array([[True, False]]))[0].tolist()
    [[1.0, 0.0]]
    """
    x = torch.as_tensor(x, dtype=torch.float64)
    if x.dim() != 2 or 0 in x.shape:
        raise DataError(f"expected x of shape [rows, columns] with at least one of each; got {list(x.shape)}")
    if n_columns is not None and x.shape[1] != n_columns:
        raise DataError(f"x has {x.shape[1]} columns; this model has {n_columns}")
    if observed is not None:
        observed = torch.as_tensor(observed, device=x.device)
        if observed.dtype != torch.bool or observed.shape != x.shape:
            raise DataError(
                f"expected `observed` as bool of shape {list(x.shape)}, True where a cell was seen; "
                f"got {str(observed.dtype).removeprefix('torch.')} of shape {list(observed.shape)}"
            )
        observed = None if bool(observed.all()) else observed
    # where, not a product: 0 * nan is nan.
    x = x if observed is None else torch.where(observed, x, torch.zeros_like(x))
    if not bool(x.isfinite().all()):
        row, column = (int(i) for i in (~x.isfinite()).nonzero()[0])
        raise DataError(
            f"row {row}, column {column} of x is {float(x[row, column])}; "
            "expected a finite number: mark a missing cell as False in `observed`"
        )
    return x, observed


def column_moments(x: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return (count, mean, sum of squared deviations) of the observed cells of each column, [D] each.

    Raises:
        DataError: a column has no observed cell.
    """
    seen = torch.ones_like(x) if observed is None else observed.to(x.dtype)
    count = seen.sum(0)
    if bool((count == 0).any()):
        raise DataError(f"column {int((count == 0).nonzero()[0])} has no observed cell: leave it out")
    mean = x.sum(0) / count
    return count, mean, (seen * (x - mean) ** 2).sum(0)


class Patterns:
    """The P distinct rows of `observed`: what depends on which cells are missing is computed once for each.

    Attributes:
        observed: bool [P, D].
        of_row: [N], the pattern of each row.
        missing: [P, M], the columns missing in each pattern, padded to the longest.
        real: bool [P, M], False marks padding.

    >>> seen = torch.tensor([[True, False], [True, True], [True, False]])
    >>> Patterns(torch.zeros(3, 2), seen).of_row.tolist()
    [0, 1, 0]
    """

    def __init__(self, x: Tensor, observed: Tensor | None):
        if observed is None:
            self.observed = torch.ones(1, x.shape[1], dtype=torch.bool, device=x.device)
            self.of_row = torch.zeros(len(x), dtype=torch.long, device=x.device)
        else:
            self.observed, self.of_row = torch.unique(observed, dim=0, return_inverse=True)
        n_missing = (~self.observed).sum(1)
        # A stable sort of False before True lists the missing columns first.
        order = self.observed.to(torch.uint8).argsort(dim=1, stable=True)
        self.missing = order[:, : int(n_missing.max())]
        self.real = ~self.observed.gather(1, self.missing)

    @cached_property
    def n_missing(self) -> Tensor:
        """How many cells each pattern lacks, [P], float64."""
        return self.real.sum(1).to(torch.float64)

    @cached_property
    def rows(self) -> tuple[Tensor, ...]:
        """The rows that show each pattern, P index tensors."""
        return self.of_row.argsort(stable=True).split(self.of_row.bincount().tolist())

    def blocks(self, matrices: Tensor) -> Tensor:
        """Cut the missing-by-missing block out of each of K matrices: [K, D, D] -> [P, K, M, M], 0 in the padding."""
        i = self.missing
        cut = matrices[:, i[:, :, None], i[:, None, :]].transpose(0, 1)
        return cut * (self.real[:, None, :, None] & self.real[:, None, None, :])

    def scatter(self, blocks: Tensor, n_columns: int) -> Tensor:
        """Add blocks [P, K, M, M] (0 in the padding) up where they came from: [K, D, D]."""
        place = self.missing[:, :, None] * n_columns + self.missing[:, None, :]
        whole = blocks.new_zeros(blocks.shape[1], n_columns * n_columns)
        return whole.index_add(1, place.flatten(), blocks.transpose(0, 1).flatten(1)).unflatten(1, (n_columns, -1))

    def cut(self, vectors: Tensor) -> Tensor:
        """Keep the missing cells of each row: [N, K, D] -> [N, K, M], 0 in the padding."""
        index = self.missing[self.of_row][:, None].expand(-1, vectors.shape[1], -1)
        return vectors.gather(2, index) * self.real[self.of_row][:, None]

    def paste(self, vectors: Tensor, into: Tensor) -> Tensor:
        """Add vectors [N, K, M] (0 in the padding) to the missing cells of `into` [N, K, D]."""
        index = self.missing[self.of_row][:, None].expand(-1, into.shape[1], -1)
        return into.scatter_add(2, index, vectors)

    def multiply(self, blocks: Tensor, vectors: Tensor) -> Tensor:
        """Multiply each row's vectors [N, K, M] by the blocks [P, K, M, M] of its pattern."""
        product = torch.empty_like(vectors)
        for block, rows in zip(blocks, self.rows, strict=True):
            product[rows] = (block @ vectors[rows].permute(1, 2, 0)).permute(2, 0, 1)
        return product
