"""Matrix products whose factors are rounded to bf16, where a processor is faster at them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Let float32 matrix products on the CPU round their factors to bf16 inside the block, if so asked."""
    switch = torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue]
    before = switch.fp32_precision
    switch.fp32_precision = "bf16" if precision == "bf16" else "ieee"
    try:
        yield
    finally:
        switch.fp32_precision = before


def has_bf16() -> bool:
    """Whether torch rounds the factors of a float32 product to bf16 here when told to; it may ignore the switch."""
    x = torch.linspace(0.1, 1.0, 256 * 256).view(256, 256)
    with products_in("float32"):
        exact = x @ x
    with products_in("bf16"):
        return bool((x @ x - exact).abs().max() > 1e-4 * exact.abs().max())


def gain(shapes: Sequence[tuple[int, ...]], batch_size: int, seconds: float = 0.5) -> float:
    """How many times as fast the products of a step are with factors in bf16."""
    cases = []
    for n_out, n_in in shapes:
        x, y, w = torch.ones(batch_size, n_in), torch.ones(batch_size, n_out), torch.ones(n_out, n_in)
        cases.append((x, y, w))

    def products() -> None:
        for x, y, w in cases:
            torch.mm(x, w.T)
            torch.mm(y, w)
            torch.mm(y.T, x)

    ratios, end = [], time.perf_counter() + seconds
    while len(ratios) < 5 or time.perf_counter() < end:
        plain, short = (_seconds(products, precision) for precision in ("float32", "bf16"))
        ratios.append(plain / short)
    return statistics.median(ratios)


def _seconds(work: Callable[[], None], precision: str) -> float:
    with products_in(precision):
        started = time.perf_counter()
        work()
        return time.perf_counter() - started
