"""Rows: a resident tensor served as batches in model units."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from minamo.batch import Batch
from minamo.data.binarize import binarize
from minamo.data.dataset import ROWS_AT_ONCE
from minamo.data.prepare import Prepare
from minamo.randomness import drawing_from


class Rows:
    """Some rows of a resident array, gathered and converted batch by batch; no Python per row.

    Args:
        x: stored values [N, D], any dtype; shared, not copied.
        prepare: how stored values become model units.
        index: the rows that take part, int64; default all.
        own: whether these are rows of the data that the model is trained on, numbered as in `x`; batches then say
            which, for posteriors that keep something for every datum.
    """

    def __init__(self, x: np.ndarray | Tensor, prepare: Prepare, index: np.ndarray | None = None, own: bool = False):
        self.x = _shared(x) if isinstance(x, np.ndarray) else x
        self.prepare = prepare
        self.index = torch.arange(len(self.x)) if index is None else torch.from_numpy(index)
        self.device = self.x.device
        """Where batches are served: a device's own memory, if `on` has put the rows there."""
        self.single = self.x.dtype == torch.float32
        """Whether answers about these rows go back in float32."""
        self.numbers = self.index if own else None
        """The number of each row in the training data; it stays when `x` is replaced by a part of it."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def n_columns(self) -> int:
        """D."""
        return self.x.shape[1]

    @property
    def log_det(self) -> float:
        """Nats to add to every log-density of the model, so that it is one over data units."""
        return self.prepare.log_det

    def batches(self, size: int, order: Tensor | None = None, dtype: torch.dtype = torch.float32) -> Iterator[Batch]:
        """Yield every row once, `size` at a time (the last batch may be smaller).

        Args:
            size: rows in a batch.
            order: a permutation of range(len(self)); default in order.
            dtype: of x in the batch.
        """
        order = torch.arange(len(self), device=self.device) if order is None else order
        for places in order.split(size):
            yield self.at(places, dtype)

    def at(self, places: Tensor, dtype: torch.dtype = torch.float32) -> Batch:
        """Return the rows at `places`, int64 in range(len(self)), as one batch."""
        return self.batch(*self.drawn(places), dtype=dtype)

    def drawn(self, places: Tensor) -> tuple[Tensor, Tensor | None]:
        """The rows at `places` as they are stored, binarized where that is dynamic, and their numbers."""
        # x[places] would do the same, ten times as slowly. Nothing moves but where x is too large for the device.
        places = places.to(self.x.device)
        numbers = None if self.numbers is None else self.numbers.index_select(0, places).to(self.device)
        stored = self.x.index_select(0, self.index.index_select(0, places))
        return self.prepare.drawn(stored.to(self.device)), numbers

    def batch(self, drawn: Tensor, numbers: Tensor | None = None, *, dtype: torch.dtype = torch.float32) -> Batch:
        """Make a batch of what `drawn` returned."""
        return Batch(self.prepare.to_model(drawn, dtype), numbers)

    def on(self, device: torch.device) -> Rows:
        """Return these rows, served on a device: from its own memory where they take less than half of what is free."""
        if device == self.device:
            return self
        size = self.x.element_size() * len(self) * self.n_columns
        moved = copy.copy(self)
        moved.device, moved.prepare = device, self.prepare.on(device)
        if device.type != "cuda" or size < torch.cuda.mem_get_info(device)[0] / 2:
            # No others: an array is shared by those that are trained on and those that are held out.
            moved.x = torch.empty(len(self), self.n_columns, dtype=self.x.dtype, device=device)
            for start in range(0, len(self), ROWS_AT_ONCE):
                some = slice(start, start + ROWS_AT_ONCE)
                moved.x[some] = self.x[self.index[some]].to(device)
            moved.index = torch.arange(len(self), device=device)
            moved.numbers = None if self.numbers is None else self.numbers.to(device)
        return moved

    def first(self, n: int) -> Rows:
        """Return the first n rows."""
        return self.take(torch.arange(min(n, len(self))))

    def spread(self, n: int) -> Rows:
        """Return n rows at equal distances, or all where there are fewer."""
        if n >= len(self):
            return self
        return self.take(torch.arange(n) * len(self) // n)

    def take(self, places: Tensor) -> Rows:
        """Return the rows at `places`, int64 in range(len(self))."""
        some, places = copy.copy(self), places.to(self.x.device)
        some.index = self.index[places]
        some.numbers = None if self.numbers is None else self.numbers[places]
        return some

    def drawn_once(self, generator: torch.Generator) -> Rows:
        """Return these rows with binarization drawn now from `generator`, so that every reading is the same.

        The whole array is drawn, block by block, whichever rows take part (`index` ascends): a row's draw
        depends on its place in the array and not on the rows chosen beside it. Rows that are not
        binarized are returned as they are.
        """
        if self.prepare.binarize == "none":
            return self
        wanted = torch.zeros(len(self.x), dtype=torch.bool)
        wanted[self.index] = True
        blocks = []
        with drawing_from(generator):
            for rows in torch.arange(len(self.x)).split(ROWS_AT_ONCE):
                blocks.append(binarize(self.x[rows], self.prepare.divisor)[wanted[rows]])
        return self._kept(Rows(torch.cat(blocks), replace(self.prepare, divisor=1.0, binarize="none")))

    def _kept(self, rows: Rows) -> Rows:
        """Give `rows`, the first of these or all, what does not follow from their values."""
        rows.single = self.single
        rows.numbers = None if self.numbers is None else self.numbers[: len(rows)]
        return rows


def _shared(x: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        # Read-only arrays (memory maps) are only read here.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(x)
