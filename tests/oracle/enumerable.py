"""Bits from a nonlinear decoder of two latents: every x can be written down, and p(x) is an integral over a plane."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from minamo.batch import Batch
from minamo.exact.enumeration import binary_states
from minamo.families import Diagonal
from minamo.likelihoods import Bernoulli
from minamo.model import LatentVariableModel
from minamo.nets import Mlp
from minamo.posteriors import Amortized
from minamo.priors import StandardNormal


class Enumerable(NamedTuple):
    """A model with a crude encoder, and what is true of it."""

    model: LatentVariableModel
    x: Tensor
    """All 2^D states, [2^D, D]."""
    log_p: Tensor
    """log p(x) of each, [2^D]."""

    def index(self, x: Tensor) -> Tensor:
        """Which state each row of x is, [B]."""
        return (x * 2 ** torch.arange(x.shape[1]).flip(0)).sum(1).long()


def enumerable(n_bits: int = 6, spread: float = 1.5) -> Enumerable:
    """Build it; weights are large enough for posteriors that are far from normal."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        decoder, encoder = Mlp(2, n_bits, hidden=(5,)).double(), Mlp(n_bits, 4, hidden=()).double()
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.mul_(3 * spread)
        encoder.last.bias.zero_()
        encoder.last.weight.mul_(0.3)
    model = LatentVariableModel(StandardNormal(2), Bernoulli(decoder), Amortized(encoder, Diagonal(2))).double().eval()
    x = binary_states(n_bits)
    ticks = torch.linspace(-8, 8, 321, dtype=torch.float64)
    z = torch.cartesian_prod(ticks, ticks)[:, None]
    with torch.no_grad():
        joint = torch.cat([model.log_joint(Batch(x))(some) for some in z.split(4096)])
    return Enumerable(model, x, torch.logsumexp(joint, 0) + 2 * torch.log(ticks[1] - ticks[0]))
