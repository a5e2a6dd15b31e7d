"""What someone drops on the page: an image or a row, read with suspicion."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from minamo.data.images import BROKEN
from minamo.errors import DataError

LARGEST = 4096
"""Pixels, along a side."""
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")


def read_image(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Decode an image and bring it to `shape`, as bytes [height, width] or [height, width, 3].

    Raises:
        DataError: it is not an image that can be read, or a very large one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                if max(picture.size) > LARGEST:
                    raise DataError(f"the image has {picture.size[0]} x {picture.size[1]} pixels; up to {LARGEST} fit")
                mode = "RGB" if len(shape) == 3 else "L"
                return np.asarray(picture.convert(mode).resize((shape[1], shape[0]), Image.Resampling.BOX), np.uint8)
    except (*BROKEN, UnidentifiedImageError, Image.DecompressionBombError, Warning, MemoryError, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"this is not an image that can be read; give one of {', '.join(FORMATS)}") from error


def read_row(text: str, n_columns: int) -> np.ndarray:
    r"""Read one row of numbers, separated by commas, semicolons or space; a first line of names is passed over.

    >>> read_row("1, 2.5; 3", 3).tolist()
    [1.0, 2.5, 3.0]
    >>> read_row("a,b,c\n1,2.5,3\n", 3).tolist()
    [1.0, 2.5, 3.0]
    """
    head, _, rest = text.strip().partition("\n")
    if rest and not any(_is_number(cell) for cell in head.replace(";", ",").split(",")):
        text = rest
    cells = text.replace(",", " ").replace(";", " ").split()
    if len(cells) != n_columns:
        raise DataError(f"expected {n_columns} numbers, got {len(cells)}")
    try:
        found = np.array([float(cell) for cell in cells])
    except ValueError as error:
        raise DataError("expected numbers, separated by commas") from error
    if not np.isfinite(found).all():
        raise DataError("every number must be finite")
    return found


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
