"""A file of tensors with a JSON header, never a pickle: safetensors with one key of metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from minamo.errors import RunError, one_line
from minamo.files import write_atomically

FORMAT = 3
"""Raised when an older minamo could no longer read what this one writes. 2: sub-pixels side by side in convolutional
decoders, parameters of objectives, and epochs judged by them. 3: what a run came to in its first epoch; log scales of a
logistic likelihood have a floor, which an older file's are read with, too."""
GROWS = re.compile(r"(.*\bstages\.\d+\.1\.)conv(\.weight|\.bias)")
"""What a convolutional decoder of format 1 called the convolution to sub-pixels."""


def write(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header, whole or not at all."""
    text = json.dumps({"format": FORMAT, **header}, allow_nan=True)
    content = safetensors.torch.save(
        {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, {"minamo": text}
    )
    write_atomically(path, lambda file: file.write(content))


def read(path: str | Path, kind: str, parameters: Sequence[str] = ()) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and header.

    Args:
        path: the file.
        kind: what the header must call itself, "model", "checkpoint" or "weights".
        parameters: names of the model's, in the order in which a checkpoint numbers Adam's moments.

    Raises:
        RunError: the file is missing, damaged, of another kind, or of a newer format.
    """
    tensors, header = _read(Path(path), kind, lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return (of_format_1(tensors, parameters) if header["format"] < 2 else tensors), header


def read_header(path: str | Path, kind: str) -> dict[str, Any]:
    """Read the header alone: what `read` says of it, as soon as the file is opened, and no tensor is read."""
    return _read(Path(path), kind, lambda file: {})[1]


def _read(path: Path, kind: str, tensors_of: Callable[[Any], dict[str, Tensor]]) -> tuple[dict[str, Tensor], Any]:
    if not path.is_file():
        raise RunError(f"there is no {kind} file '{path}'")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = tensors_of(file)
        header = json.loads(metadata.get("minamo", "{}"))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged or cut short ({one_line(error)}): restore or fit it again") from error
    if header.get("kind") != kind:
        raise RunError(f"{path} is not a minamo {kind} file")
    if header["format"] > FORMAT:
        raise RunError(
            f"{path} has format {header['format']}, written by a newer minamo; "
            f"this one reads up to {FORMAT}: upgrade minamo"
        )
    return tensors, header


def of_format_1(tensors: dict[str, Tensor], parameters: Sequence[str]) -> dict[str, Tensor]:
    """Return the tensors of a file of format 1 as this format has them; see `read`.

    A convolution to sub-pixels has another name and its output channels in the order (2, 2, c), where torch's
    pixel_shuffle takes them in the order (c, 2, 2); Adam's moments of it follow.
    """
    grown = {name: match for name in tensors if (match := GROWS.fullmatch(name))}
    renamed = {name: f"{match[1]}subpixels{match[2]}" for name, match in grown.items()}
    found = {renamed.get(k, k): _side_by_side(t) if k in grown else t for k, t in tensors.items()}
    moved = {name.partition(".")[2] for name in renamed.values()}
    for i, name in enumerate(parameters):
        for key in (f"moments.{i}.exp_avg", f"moments.{i}.exp_avg_sq"):
            if name in moved and key in found:
                found[key] = _side_by_side(found[key])
    return found


def _side_by_side(channels: Tensor) -> Tensor:
    """[c * 4, ...] -> [4 * c, ...]."""
    return channels.unflatten(0, (-1, 4)).transpose(0, 1).flatten(0, 1)
