"""Subnormal numbers count as zero, for as long as a block lasts."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

HARD_PAUSE = 2
"""OpenMP's omp_pause_hard: end all idle threads."""


@contextmanager
def flush_to_zero() -> Iterator[None]:
    """Count numbers below 1.2e-38 as zero inside the block, on every thread of torch's, and no longer after it.

    Adam's moments of weights at pixels that are always dark decay into subnormal numbers, with which a processor is
    up to a hundred times slower. `minamo fit` runs inside this block; programs that call `VAE.fit` may do the same.

    torch sets the switch for the calling thread alone, and threads inherit it when they are born: so torch's idle
    threads are ended here, and come again by themselves.
    """
    before = _flushing()
    if not torch.set_flush_denormal(True):
        # A processor without the switch.
        yield
        return
    _end_idle_threads()
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
        _end_idle_threads()


def _flushing() -> bool:
    return float(torch.tensor(2e-38) * 0.5) == 0.0


def _end_idle_threads() -> None:
    for path in (Path(torch.__file__).parent / "lib").glob("libgomp*"):
        pause = getattr(ctypes.CDLL(str(path)), "omp_pause_resource_all", None)
        if pause is not None:
            pause(HARD_PAUSE)
