"""Grey values in [0, 1] as probabilities: x ~ Bernoulli(value), drawn afresh or once."""

from __future__ import annotations

import torch
from torch import Tensor


def binarize(stored: Tensor, divisor: float) -> Tensor:
    """Draw x ~ Bernoulli(stored / divisor) for every cell from torch's generator in force.

    Bytes over 255 compare 16 random bits with 257 v: P(x = 1) is v / 255 to within 1.6e-5, and exact at 0 and
    255. Everything else compares a uniform number.

    Args:
        stored: any shape.
        divisor: of stored values.

    Returns:
        0/1, uint8, the shape of `stored`.
    """
    if stored.dtype != torch.uint8 or divisor != 255.0:
        return (torch.rand(stored.shape, device=stored.device) < stored / divisor).to(torch.uint8)
    words = torch.empty((stored.numel() + 3) // 4, dtype=torch.int64, device=stored.device)
    # A lower end of -2^63 and no upper end draws all 64 bits; random_() alone never sets the sign.
    noise = words.random_(-(2**63), None).view(torch.int16)[: stored.numel()].view(stored.shape)
    level = stored.to(torch.int16).mul_(257).sub_(32768)
    # The level of 255 is the largest number there is, and 255 is always 1.
    return (noise.clamp_max_(32766) < level).view(torch.uint8)
