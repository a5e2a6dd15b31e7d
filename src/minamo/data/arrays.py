"""NumPy files. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minamo.data.dataset import Dataset, as_dataset
from minamo.errors import DataError, first_line

PARTS = {"train": ("x_train", "X_train", "train"), "test": ("x_test", "X_test", "test")}
"""Names that an .npz gives to its parts."""
MAPPED = 2**30
"""Bytes from which an .npy file is mapped and not read: its rows come from the disk, or from what the system keeps."""


def read_npy(path: Path) -> Dataset:
    """Read one array; a file of 1 GiB or more is memory-mapped, and may be larger than the memory."""
    mode = "r" if path.stat().st_size >= MAPPED else None
    x = _guarded(path, lambda: np.load(path, mmap_mode=mode, allow_pickle=False))
    if not isinstance(x, np.ndarray):
        raise DataError(f"{path.name} is an archive of arrays: give it the ending .npz")
    return as_dataset(x, path.name)


def read_npz(path: Path, part: str | None = None, key: str = "") -> Dataset:
    """Read one array of several: the one called `key`, the wanted part, or the only candidate.

    Args:
        path: the file.
        part: "train" (default where there are parts), "test" or "all".
        key: the name of an array in the file.
    """
    archive: Any = _guarded(path, lambda: np.load(path, allow_pickle=False))
    if isinstance(archive, np.ndarray):
        raise DataError(f"{path.name} holds one bare array: give it the ending .npy")
    with archive:
        names = list(archive.files)
        if key:
            if key not in names:
                raise DataError(f"{path.name} has no array '{key}'; it has {', '.join(names) or 'none'}")
            chosen, taken = key, "all"
        else:
            chosen, taken = _choose(path, archive, names, part)
        if part not in (None, taken):
            raise DataError(f"{path.name}:{chosen} has no {part} part, only all its rows")
        x = _guarded(path, lambda: archive[chosen])
        if not isinstance(x, np.ndarray):
            raise DataError(f"{path.name}:{chosen} is not an array; an .npz is what numpy.savez writes")
    return as_dataset(x, f"{path.name}:{chosen}", part=taken)


def has_test(path: Path) -> bool:
    """Whether an .npz names a test part; False for a file that cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(f"{name}.npy" in archive.namelist() for name in PARTS["test"])
    except (OSError, zipfile.BadZipFile):
        return False


def _choose(path: Path, archive: Any, names: list[str], part: str | None) -> tuple[str, str]:
    parts = {p: name for p, options in PARTS.items() for name in names if name in options}
    if "train" in parts and part != "all":
        if part is not None and part not in parts:
            raise DataError(f"{path.name} has no {part} part; it has {', '.join(names)}")
        wanted = part or "train"
        return parts[wanted], wanted
    tables = [n for n in names if len(_shape(archive, n)) >= 2] if len(names) > 1 else names
    usual = [n for n in tables if n in ("x", "X", "data")]
    if len(tables) == 1 or usual:
        return (usual or tables)[0], "all"
    listed = ", ".join(names) or "none"
    raise DataError(f"{path.name} holds the arrays {listed}; say which one: {path.name}:NAME")


def _shape(archive: Any, name: str) -> tuple[int, ...]:
    """The shape of a member, from its header alone; () where it is no array."""
    try:
        with archive.zip.open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return reader(file)[0]
    except (KeyError, ValueError, RuntimeError, zipfile.BadZipFile):
        return ()


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise DataError(f"{path.name} is damaged or cut short ({first_line(error)}): copy or write it again") from error
    except ValueError as error:
        if "pickle" in str(error).lower() or "object array" in str(error).lower():
            raise DataError(
                f"{path.name} holds pickled Python objects, which can run code and are never read: "
                "save it as a plain numeric array"
            ) from error
        raise DataError(f"{path.name} is damaged or cut short ({first_line(error)}): copy or write it again") from error
