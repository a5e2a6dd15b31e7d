"""Grey values in [0, 1] as probabilities: x ~ Bernoulli(value), drawn afresh or once."""

from __future__ import annotations

import torch
from torch import Tensor


def words(n: int, device: torch.device) -> Tensor:
    """Draw 64-bit words with 16 random bits for each of n cells."""
    drawn = torch.empty((n + 3) // 4, dtype=torch.int64, device=device)
    # A lower end of -2^63 and no upper end draws all 64 bits; random_() alone never sets the sign.
    return drawn.random_(-(2**63), None)


def takes_words(dtype: torch.dtype, divisor: float) -> bool:
    """Whether cells of this kind are compared with 16 random bits, all others with a uniform number."""
    return dtype == torch.uint8 and divisor == 255.0


def binarize(stored: Tensor, divisor: float, bits: Tensor | None = None) -> Tensor:
    """Draw x ~ Bernoulli(stored / divisor) for every cell from torch's generator in force.

    Bytes over 255 compare 16 random bits with 257 v: P(x = 1) is v / 255 to within 1.6e-5, and exact at 0 and
    255. Everything else compares a uniform number.

    Args:
        stored: any shape.
        divisor: of stored values.
        bits: from `words`, where they are drawn already.

    Returns:
        0/1, uint8, the shape of `stored`.
    """
    if not takes_words(stored.dtype, divisor):
        return (torch.rand(stored.shape, device=stored.device) < stored / divisor).to(torch.uint8)
    bits = words(stored.numel(), stored.device) if bits is None else bits
    noise = bits.view(torch.int16)[: stored.numel()].view(stored.shape)
    on = noise < stored.to(torch.int16) * 257 - 32768
    return (on | (stored == 255)).view(torch.uint8)
