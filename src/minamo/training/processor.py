"""Settings of the whole process that make training faster on a CPU, for as long as a block lasts."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

HARD_PAUSE = 2
"""OpenMP's omp_pause_hard: end all idle threads."""
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX = -1, -2, -3, -4
"""glibc's names for what mallopt sets."""
MOST = 2**31 - 1
AHEAD = 2**30
"""Bytes of address space by which the heap grows at a time: memory only once it is used."""
LARGE = 2**26
"""A block that no free piece of the heap has room for."""
HUGE_PAGES = 14
"""Linux's MADV_HUGEPAGE: pages of 2 MB where they can be had."""


@contextmanager
def fast_cpu() -> Iterator[None]:
    """Flush subnormal numbers to zero, keep freed memory at hand and in large pages, inside the block.

    Adam's moments of weights at pixels that are always dark decay below 1.2e-38, and with such numbers a processor is
    up to a hundred times slower. Blocks of more than 32 MB, which wide nets and large batches pass on, would be given
    back to the system and taken anew at every step. Both settings are the process's own: that is why they are not made
    for you. In pages of 2 MB a step finds its weights, moments and data with fewer look-ups; the heap keeps them after
    the block. `minamo fit` runs inside this block; programs that call `VAE.fit` may do the same,
    and find things as they were after it.
    """
    with _flushed_to_zero(), _kept_memory():
        yield


@contextmanager
def _flushed_to_zero() -> Iterator[None]:
    """torch sets the switch for the calling thread alone, and threads inherit it when they are born.

    So torch's idle threads are ended here, and come again by themselves.
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


@contextmanager
def _kept_memory() -> Iterator[None]:
    """Where the C library is glibc: large blocks come from the heap, which is not cut while the block lasts."""
    library: Any = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, MOST)
    library.mallopt(TOP_PAD, AHEAD)
    try:
        _grow_in_large_pages(library)
        yield
    finally:
        library.mallopt(TOP_PAD, 2**17)
        library.mallopt(MMAP_MAX, 65536)
        # glibc no longer adapts these two by itself; they are left where it lets them grow to.
        library.mallopt(MMAP_THRESHOLD, 2**25)
        library.mallopt(TRIM_THRESHOLD, 2**26)
        library.malloc_trim(0)


def _grow_in_large_pages(library: Any) -> None:
    """Let the heap grow once, and ask for large pages in all of it; where either is refused nothing changes."""
    library.malloc.restype = ctypes.c_void_p
    library.free(ctypes.c_void_p(library.malloc(ctypes.c_size_t(LARGE))))
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return
    for line in maps.splitlines():
        if line.endswith("[heap]"):
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
            library.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), HUGE_PAGES)
