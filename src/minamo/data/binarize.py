"""Grey values in [0, 1] as probabilities: x ~ Bernoulli(value), drawn afresh or once."""

from __future__ import annotations

import torch
from torch import Tensor


def binarize(stored: Tensor, divisor: float) -> Tensor:
    """Draw x ~ Bernoulli(stored / divisor) for every cell from torch's generator in force.

    Bytes over 255 compare 16 random bits with 257 v: P(x = 1) is v / 255 to within 1.6e-5, and exact at 0 and
    255. Everything else compares a uniform number.

    Returns:
        0/1, uint8, the shape of `stored`.
    """
    if stored.dtype != torch.uint8 or divisor != 255.0:
        return (torch.rand(stored.shape, device=stored.device) < stored / divisor).to(torch.uint8)
    words = torch.empty((stored.numel() + 3) // 4, dtype=torch.int64, device=stored.device)
    # A lower end of -2^63 and no upper end draws all 64 bits; random_() alone never sets the sign.
    noise = words.random_(-(2**63), None).view(torch.int16)[: stored.numel()].view(stored.shape)
    on = noise < stored.to(torch.int16) * 257 - 32768
    return (on | (stored == 255)).view(torch.uint8)
