"""Values as a report keeps them: plain, small, and able to stand in JSON."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from PIL import Image

from minamo.estimator import VAE

SHEET = 300_000
"""Bytes of pixels that one sheet of pictures may have: five sheets of noise then stay below 2.5 MB of PNG."""
DIGITS = 6
"""Of a value in a table: dates in seconds would look all alike with fewer."""
LARGEST = 96
"""Pixels: higher or wider images are shown smaller."""


def is_picture(vae: VAE) -> bool:
    """Whether a datum can be shown as an image."""
    shape = vae.schema_.shape
    return vae.schema_.kind == "image" and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3))


def intensities(vae: VAE, x: np.ndarray) -> np.ndarray:
    """Bring pictures of other units than [0, 1] to it, by the range of the data the model was fitted on."""
    low, high = vae.description_["range"]
    return x if low >= 0 and high <= 1 else (x - low) / max(high - low, 1e-300)


def column_names(vae: VAE) -> list[str]:
    """One name for each column of the data."""
    return list(vae.schema_.names) or [f"x{j}" for j in range(vae.schema_.n_columns)]


def sheet(vae: VAE, x: np.ndarray, most: int | None = None) -> dict[str, Any]:
    """Keep images x [n, D] (data units) as 8-bit pixels: `{"shape", "n", "pixels"}`, base64, large ones made smaller.

    Args:
        vae: whose data they are like.
        x: the images.
        most: how many of them, at most; default: what fits a sheet.
    """
    shape = vae.schema_.shape
    pixels = (np.clip(np.nan_to_num(intensities(vae, x)), 0, 1) * 255).round().astype(np.uint8).reshape(-1, *shape)
    if max(shape[:2]) > LARGEST:
        scale = LARGEST / max(shape[:2])
        size = max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
        pixels = np.stack([np.asarray(Image.fromarray(image).resize(size)) for image in pixels])
    pixels = pixels[: fitting(vae, len(pixels)) if most is None else most]
    return {
        "shape": list(pixels.shape[1:]),
        "n": len(pixels),
        "pixels": base64.b64encode(pixels.tobytes()).decode(),
    }


def fitting(vae: VAE, n: int) -> int:
    """How many of n images fit a sheet."""
    height, width, *rest = vae.schema_.shape
    scale = min(1.0, LARGEST / max(height, width))
    return max(1, min(n, int(SHEET / max(1.0, height * scale * width * scale * math.prod(rest)))))


def images(kept: dict[str, Any]) -> np.ndarray:
    """The images of a sheet, [n, D], in [0, 1]."""
    pixels = np.frombuffer(base64.b64decode(kept["pixels"]), np.uint8)
    return pixels.reshape(kept["n"], -1) / 255


def plain(value: Any, digits: int | None = None) -> Any:
    """Arrays and numbers as JSON has them: lists and floats; what is not finite becomes None.

    >>> plain(np.array([1.0, np.nan, 0.123456]), 3)
    [1.0, None, 0.123]
    """
    if isinstance(value, dict):
        return {str(k): plain(v, digits) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, digits) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), digits)
    if isinstance(value, np.generic):
        return plain(value.item(), digits)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return value if digits is None else float(f"{value:.{digits}g}")
    return value
