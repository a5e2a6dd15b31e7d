"""Counts out of n, with no more spread than chance gives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Binomial as Law
from torch.distributions import Distribution, Independent, constraints

from minamo.likelihoods.base import Likelihood
from minamo.nets import Net


class Binomial(Likelihood):
    """x_j | z ~ Binomial(n, sigmoid(net(z))_j).

    Args:
        net: maps z [..., latent_dim] to a logit for every column.
        n: trials.
    """

    name = "binomial"
    support = constraints.nonnegative_integer

    def __init__(self, net: Net, n: int):
        super().__init__(net)
        self.n = n
        self.support = constraints.integer_interval(0, n)  # pyright: ignore
        self.measure = f"counting measure on {{0, ..., {n}}}"

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        logits = self.net(z)
        # As a number it would be sent to a graphics card at every step.
        n = logits.new_full((), self.n)
        return Independent(Law(n, logits=logits, validate_args=False), 1, validate_args=False)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias to the logit of each column's mean share, kept within (0.001, 0.999)."""
        self.net.last.bias.copy_(torch.logit((mean / self.n).clamp(1e-3, 1 - 1e-3)))
