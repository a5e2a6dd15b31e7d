"""A folder of images of one size, read by Pillow."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from minamo.data.dataset import Dataset, as_dataset
from minamo.errors import DataError

EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes of 8 bits a channel or fewer."""
BROKEN = (OSError, ValueError, SyntaxError, struct.error)
"""What Pillow's readers raise on damaged files, beside its own errors."""
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")


def read(folder: Path) -> Dataset:
    """Read every image of a folder (not of its subfolders), in order of file name, as bytes.

    Grey images become [height, width]; if any one has color, all become [height, width, 3].
    """
    from PIL import Image, UnidentifiedImageError

    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS)
    if not files:
        raise DataError(f"the folder '{folder.name}' holds no images ({', '.join(ENDINGS)})")
    pictures: list[np.ndarray] = []
    for file in files:
        try:
            with Image.open(file) as picture:
                if picture.mode not in EIGHT_BIT:
                    raise DataError(
                        f"{folder.name}/{file.name} stores more than 8 bits a channel (mode {picture.mode}): "
                        "convert the images to 8 bits, or save them as one .npy array"
                    )
                pictures.append(np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB")))
        except (*BROKEN, UnidentifiedImageError, Image.DecompressionBombError) as error:
            if isinstance(error, DataError) or (isinstance(error, OSError) and error.errno):
                raise
            raise DataError(f"{folder.name}/{file.name} is not an image that can be read: {error}") from error
        first, last = pictures[0].shape[:2], pictures[-1].shape[:2]
        if first != last:
            raise DataError(
                f"{folder.name}/{file.name} is {last[1]} x {last[0]} pixels, {files[0].name} is {first[1]} x "
                f"{first[0]}: "
                "bring all images to one size"
            )
    if any(p.ndim == 3 for p in pictures):
        pictures = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pictures]
    return as_dataset(np.stack(pictures), folder.name, kind="image", divisor=255.0)
