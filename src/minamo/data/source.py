"""SOURCE: one word for a file, a folder of images or a built-in data set."""

from __future__ import annotations

import difflib
from pathlib import Path

from minamo.data import arrays, builtin, images, tables
from minamo.data.dataset import Dataset
from minamo.errors import DataError

READERS = {".npy": arrays.read_npy, ".npz": arrays.read_npz, ".csv": tables.read, ".parquet": tables.read}
"""By file ending."""


def load(source: str, part: str | None = None) -> Dataset:
    """Read a data set.

    Args:
        source: a path ending in .npz, .npy, .csv or .parquet (an array inside an .npz as FILE.npz:NAME), a
            folder of images, or a name: digits, mnist, fashion-mnist.
        part: "train", "test" or "all"; default: the training part where there are parts, else all rows.

    Raises:
        DataError: nothing is there, or what is there cannot be used.
    """
    if source in builtin.NAMES:
        return builtin.read(source, part)
    name, _, key = source.partition(".npz:")
    path = Path(name + ".npz") if key else Path(source)
    if path.is_dir():
        return whole(images.read(path), part)
    if not path.exists():
        near = difflib.get_close_matches(source, builtin.NAMES, n=1, cutoff=0.6)
        hint = (
            f"did you mean '{near[0]}'?"
            if near
            else f"expected a file, a folder of images or one of {', '.join(builtin.NAMES)}"
        )
        raise DataError(f"there is no file or data set '{source}': {hint}")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"cannot read '{path.name}': expected one of {', '.join(READERS)}, or a folder of images")
    if reader is arrays.read_npz:
        return arrays.read_npz(path, part, key)
    return whole(reader(path), part)


def has_test(source: str) -> bool:
    """Whether a source comes with a test part."""
    if source in builtin.NAMES:
        return source in builtin.ADDRESSES
    return source.lower().endswith(".npz") and arrays.has_test(Path(source))


def whole(data: Dataset, part: str | None) -> Dataset:
    """Return `data`, which has no parts, or refuse the part that was asked for."""
    if part not in (None, "all"):
        raise DataError(f"{data.name} has no {part} part, only all its rows")
    return data
