"""Where training and evidence are computed: the processor, or a graphics card that torch reaches through CUDA."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from minamo.errors import ConfigError

DEVICES = re.compile(r"auto|cpu|cuda(:\d+)?")
CPU = torch.device("cpu")


def check_device(word: object) -> None:
    """Raise ConfigError unless this names a device that minamo knows, here or elsewhere."""
    if not (isinstance(word, str) and DEVICES.fullmatch(word)):
        raise ConfigError(f"device must be 'cpu', 'cuda', 'cuda:' and a number, or 'auto', got {word!r}")


def device_for(word: str) -> torch.device:
    """Return the device that was asked for; "auto" is a graphics card where there is one.

    Raises:
        ConfigError: there is no such card here.
    """
    check_device(word)
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if word == "cpu" or (word == "auto" and not cards):
        return CPU
    number = int(word.partition(":")[2] or 0)
    if number >= cards:
        seen = f"sees {cards} of them" if cards else "sees none"
        raise ConfigError(f"device {word} is not here: torch {torch.__version__} {seen}; device cpu does without")
    return torch.device("cuda", number)


def device_or_cpu(word: str) -> torch.device:
    """Return the device that a model was fitted on, or the processor where that is elsewhere."""
    try:
        return device_for(word)
    except ConfigError:
        return CPU


@contextmanager
def computing_on(device: torch.device, precision: str = "float32") -> Iterator[None]:
    """On a graphics card: its number in force, and its products in float32 as asked for, "tf32" or in full.

    torch's own settings, which are the process's, are put back; left alone they let convolutions be in TF32.
    """
    if device.type != "cuda":
        yield
        return
    # torch's newer names for these switches would leave the older ones unreadable meanwhile.
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        with torch.cuda.device(device):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def wait_for(device: torch.device) -> None:
    """A graphics card works behind Python's back: return when it has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
