"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from minamo.errors import RunError

PART = ".part"
"""Ending of a file that is being written; a crash may leave one, which the next writing replaces."""


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write` on a temporary file beside `path`, flush it to disk, and rename it into place.

    Raises:
        RunError: the disk is full or the folder cannot be written; what was at `path` before is still there.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}{PART}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(f"cannot write {path}: {reason}; what was there before is unchanged") from error
    finally:
        temporary.unlink(missing_ok=True)
