"""A file of tensors with a JSON header, never a pickle: safetensors with one key of metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from minamo.errors import RunError
from minamo.files import write_atomically

FORMAT = 1
"""Raised when an older minamo could no longer read what this one writes."""


def write(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header, whole or not at all."""
    text = json.dumps({"format": FORMAT, **header}, allow_nan=True)
    content = safetensors.torch.save({k: v.detach().clone().contiguous() for k, v in tensors.items()}, {"minamo": text})
    write_atomically(path, lambda file: file.write(content))


def read(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and header.

    Args:
        path: the file.
        kind: what the header must call itself, "model" or "checkpoint".

    Raises:
        RunError: the file is missing, damaged, of another kind, or of a newer format.
    """
    return _read(Path(path), kind, lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118


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
        raise RunError(
            f"{path} is damaged or cut short ({str(error).splitlines()[0]}): restore or fit it again"
        ) from error
    if header.get("kind") != kind:
        raise RunError(f"{path} is not a minamo {kind} file")
    if header["format"] > FORMAT:
        raise RunError(
            f"{path} has format {header['format']}, written by a newer minamo; "
            f"this one reads up to {FORMAT}: upgrade minamo"
        )
    return tensors, header
