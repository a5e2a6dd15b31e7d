"""Dataset: a resident array in its own dtype, what its columns are, and which part of a source it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from minamo.errors import DataError
from minamo.schema import Schema

ROWS_AT_ONCE = 4096
"""Rows looked at together: inspection never makes a second copy of the data."""


@dataclass(frozen=True)
class Dataset:
    """N rows of D stored values.

    `x` is [N, D] and keeps the dtype of the file; `x / schema.divisor` is in data units.
    """

    x: np.ndarray
    schema: Schema
    name: str
    part: str = "all"
    """"all", or "train" / "test" where the source comes in parts."""

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: np.ndarray) -> Dataset:
        """Return some of the rows (a copy)."""
        return replace(self, x=self.x[index])

    def blocks(self, index: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """Yield the rows (or those of `index`) in order, a few thousand at a time."""
        n = len(self.x) if index is None else len(index)
        for start in range(0, n, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            yield self.x[rows] if index is None else self.x[index[rows]]

    def fingerprint(self) -> str:
        """SHA-256 of shape, dtype and values, hexadecimal: equal data, equal fingerprint."""
        digest = hashlib.sha256(f"{self.x.shape} {self.x.dtype.str}".encode())
        for block in self.blocks():
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()


def as_dataset(
    x: np.ndarray,
    name: str,
    *,
    kind: str = "array",
    names: tuple[str, ...] = (),
    divisor: float | None = None,
    part: str = "all",
) -> Dataset:
    """Check an array [N, ...] and wrap it: numeric, at least one row and one column, every value finite.

    Args:
        x: any numeric array with rows and columns.
        name: what to call it in messages.
        kind: "image", "table" or "array"; arrays of 3 axes or more are images in any case.
        names: column names, for a table.
        divisor: see `Schema`; default 255 for 8-bit data with values above 1, else 1.
        part: see `Dataset`.
    """
    if x.dtype.kind not in "fiub":
        raise DataError(f"{name} holds {x.dtype} values; minamo needs numbers: convert them, or drop those columns")
    if x.ndim < 2:
        raise DataError(f"{name} has shape {x.shape}; expected rows and columns, [N, D] or [N, height, width]")
    if x.size == 0:
        raise DataError(f"{name} is empty: {len(x)} rows of shape {x.shape[1:]}")
    x = _plain(x)
    if kind == "array" and x.ndim > 2:
        kind = "image"
    shape = x.shape[1:]
    x = x.reshape(len(x), -1)
    if divisor is None:
        divisor = 255.0 if x.dtype == np.uint8 and x.max() > 1 else 1.0
    schema = Schema(kind=kind, shape=shape, names=names, divisor=float(divisor))
    made = Dataset(x, schema, name, part)
    refuse_non_finite(made)
    return made


def _plain(x: np.ndarray) -> np.ndarray:
    """Return x in a dtype and a layout that a tensor can share; a view wherever that is possible."""
    if x.dtype.kind == "b":
        return x.view(np.uint8)
    if x.dtype.kind == "u" and x.dtype.itemsize > 1:
        if x.dtype.itemsize == 8 and x.max() > np.iinfo(np.int64).max:
            raise DataError(f"the largest value, {x.max()}, does not fit a signed 64-bit integer: store float64")
        return x.astype(np.int32 if x.dtype.itemsize == 2 else np.int64)
    if not x.dtype.isnative or x.dtype.itemsize > 8:
        return x.astype(np.float64 if x.dtype.kind == "f" else np.int64)
    return np.ascontiguousarray(x) if any(s < 0 for s in x.strides) else x


def refuse_non_finite(data: Dataset) -> None:
    """Raise DataError naming the first row and column that hold NaN or infinity."""
    if data.x.dtype.kind != "f":
        return
    row = 0
    for block in data.blocks():
        # The sum is finite unless a value is not, or it overflowed: only then is a mask needed.
        with np.errstate(over="ignore", invalid="ignore"):
            suspicious = not np.isfinite(block.sum())
        if suspicious:
            bad = np.argwhere(~np.isfinite(block))
            if len(bad):
                i, j = bad[0]
                raise DataError(
                    f"{data.name} has {block[i, j]} at row {row + i}, {data.schema.column(int(j))}; "
                    "every value must be finite: remove or fill such cells"
                )
        row += len(block)


def aligned(data: Dataset, schema: Schema, high: float) -> Dataset:
    """Return `data` with the columns that a model was fitted on, by name where both have names.

    Args:
        data: as read.
        schema: of the data the model was fitted on.
        high: their largest value.

    Raises:
        DataError: a column is missing or was not there before, or the number of columns differs.
    """
    if schema.names and data.schema.names:
        missing = [n for n in schema.names if n not in data.schema.names]
        new = [n for n in data.schema.names if n not in schema.names]
        if missing or new:
            listed = "; ".join(
                f"{word}: {', '.join(map(repr, names))}"
                for word, names in (("missing", missing), ("unknown", new))
                if names
            )
            raise DataError(
                f"{data.name} has {data.schema.n_columns} columns; this model was fitted on {schema.n_columns} "
                f"({listed})"
            )
        order = [data.schema.names.index(n) for n in schema.names]
        if order != list(range(len(order))):
            data = replace(data, x=data.x[:, order])
    elif data.schema.n_columns != schema.n_columns or (
        schema.kind == data.schema.kind == "image" and schema.shape != data.schema.shape
    ):
        raise DataError(
            f"{data.name} has rows of shape {data.schema.shape}; this model was fitted on rows of shape {schema.shape}"
        )
    return replace(data, schema=replace(schema, divisor=divisor_for(data, schema, high)))


def divisor_for(data: Dataset, schema: Schema, high: float) -> float:
    """How stored values become the units of a model: bytes by its own divisor, or by 255 where it knows [0, 1].

    All other values are in its units already.
    """
    if data.x.dtype != np.uint8:
        return 1.0
    return data.schema.divisor if schema.divisor == 1.0 and high <= 1 else schema.divisor
