"""Pictures of a run: grids of images, learning curves."""

from __future__ import annotations

import io
import math
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image

GAP = 2
"""Pixels between images of a grid."""
CELL = 56
"""Small images are enlarged by a whole factor until they are about this high."""


def grid(x: np.ndarray, shape: tuple[int, ...], columns: int | None = None) -> bytes:
    """Lay images out row by row, as PNG bytes.

    Args:
        x: [N, D], intensities; clipped to [0, 1].
        shape: (height, width) or (height, width, 3).
        columns: default: as square as N allows.
    """
    height, width = shape[:2]
    columns = columns or math.ceil(math.sqrt(len(x)))
    rows = math.ceil(len(x) / columns)
    factor = max(1, round(CELL / height))
    cell_h, cell_w = height * factor + GAP, width * factor + GAP
    canvas = np.full((rows * cell_h + GAP, columns * cell_w + GAP, *shape[2:]), 255, np.uint8)
    pixels = (np.clip(np.nan_to_num(x), 0, 1) * 255).round().astype(np.uint8).reshape(-1, *shape)
    for i, image in enumerate(pixels.repeat(factor, 1).repeat(factor, 2)):
        top, left = GAP + i // columns * cell_h, GAP + i % columns * cell_w
        canvas[top : top + height * factor, left : left + width * factor] = image
    return _png(Image.fromarray(canvas))


def pairs(x: np.ndarray, again: np.ndarray, shape: tuple[int, ...], columns: int = 8) -> bytes:
    """Originals with their reconstructions below them, two lines a row, as PNG bytes."""
    order = []
    for start in range(0, len(x), columns):
        pair = np.stack([x[start : start + columns], again[start : start + columns]])
        short = columns - pair.shape[1]
        order.append(np.pad(pair, ((0, 0), (0, short), (0, 0)), constant_values=1.0).reshape(-1, x.shape[1]))
    return grid(np.concatenate(order), shape, columns)


def curves(history: list[dict[str, Any]], best_epoch: int) -> bytes:
    """Learning curves: ELBO in training and validation, its two terms, the learning rate's falls; PNG bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [r["epoch"] for r in history]
    watched = "validation" if "validation_elbo" in history[-1] else "training"
    left.plot(epochs, [r["elbo"] for r in history], color="#7aa6c2", label="while training")
    if f"{watched}_elbo" in history[-1]:
        label = "validation" if watched == "validation" else "training rows, afterwards"
        left.plot(epochs, [r[f"{watched}_elbo"] for r in history], color="#0b3c5d", label=label)
        best = "best" if f"{watched}_objective" not in history[-1] else "best by the objective"
        left.axvline(best_epoch, color="#0b3c5d", linewidth=0.8, linestyle=":", label=f"{best}, epoch {best_epoch}")
    for before, after in pairwise(history):
        if after["learning_rate"] < before["learning_rate"]:
            left.axvline(after["epoch"], color="#bbbbbb", linewidth=0.8, zorder=0)
    shown = sorted(r["elbo"] for r in history)
    floor, ceiling = shown[len(shown) // 20], shown[-1]
    left.set_ylim(floor - 0.05 * (ceiling - floor) - 1e-9, None)
    left.set(title="ELBO", xlabel="epoch (grey lines: smaller steps)", ylabel="nats per datum")
    left.legend(frameon=False)
    right.plot(epochs, [r["reconstruction"] for r in history], color="#328cc1", label="J1, reconstruction")
    right.set(title="Its two terms", xlabel="epoch", ylabel="J1, nats per datum")
    twin = right.twinx()
    twin.plot(epochs, [r["kl"] for r in history], color="#d9853b", label="J2, KL")
    twin.set(ylabel="J2, nats per datum", ylim=(0, None))
    lines = [*right.lines, *twin.lines]
    right.legend(lines, [str(line.get_label()) for line in lines], frameon=False, loc="center right")
    for axes in (left, right, twin):
        axes.spines["top"].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
