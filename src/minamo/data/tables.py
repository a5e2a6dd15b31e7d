"""Tables of numbers: .csv and .parquet, read by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minamo.data.dataset import Dataset, as_dataset
from minamo.errors import DataError

if TYPE_CHECKING:
    import pyarrow


def read(path: Path) -> Dataset:
    """Read a table whose columns are all numeric; the first line of a .csv names them unless it is numbers."""
    import pyarrow

    try:
        table = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
        names = tuple(str(name) for name in table.column_names)
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = str(error).splitlines()[0]
        raise DataError(f"{path.name} cannot be read ({reason}): copy or write it again") from error
    if not names or not table.num_rows:
        raise DataError(f"{path.name} is empty: {table.num_rows} rows and {len(names)} columns")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"{path.name} has more than one column called '{twice[0]}': give every column its own name")
    kinds = [_kind(path, name, table.column(j)) for j, name in enumerate(names)]
    x = np.empty((table.num_rows, len(names)), np.result_type(*kinds))
    for j in range(len(names)):
        # One column at a time, let go as soon as it is copied: the table is never held twice.
        x[:, j] = table.column(0).to_numpy()
        table = table.remove_column(0)
    return as_dataset(x, path.name, kind="table", names=names, divisor=1.0)


def _read_csv(path: Path) -> pyarrow.Table:
    from pyarrow import csv

    with open(path, encoding="utf-8-sig", errors="replace") as file:
        first = file.readline().strip().split(",")
    headless = all(_is_number(cell.strip().strip('"')) for cell in first)
    return csv.read_csv(path, read_options=csv.ReadOptions(autogenerate_column_names=headless))


def _read_parquet(path: Path) -> pyarrow.Table:
    from pyarrow import parquet

    return parquet.read_table(path)


def _kind(path: Path, name: str, column: pyarrow.ChunkedArray) -> np.dtype:
    """The NumPy type of a column, which must be numbers without a gap."""
    import pyarrow.types as types

    kind = column.type
    if types.is_null(kind):
        raise DataError(f"{path.name} has no value in column '{name}': fill it, or drop the column")
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        row, cell = next(
            ((i, c.as_py()) for i, c in enumerate(column) if not _is_number(c.as_py())), (0, column[0].as_py())
        )
        raise DataError(
            f"{path.name} has {cell!r} at row {row}, column '{name}', where a number was expected: "
            "encode it as numbers, or drop the column"
        )
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise DataError(
            f"{path.name} has no value (empty or NaN) at row {row}, column '{name}': fill it, or drop the row"
        )
    return np.dtype(kind.to_pandas_dtype())


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return False
    return True
