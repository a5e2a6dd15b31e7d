"""x_j | z ~ Laplace(loc_j(z), b)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints
from torch.distributions import Laplace as Law

from minamo.likelihoods.base import Likelihood
from minamo.likelihoods.normal import MIN_SCALE
from minamo.nets import Net


class Laplace(Likelihood):
    """log p(x|z) = -sum_j |x_j - loc_j| / b - D log 2 b, one learned b for all columns.

    Args:
        net: maps z [..., latent_dim] to loc [..., D].
    """

    name = "laplace"
    support = constraints.real
    measure = "Lebesgue measure"

    def __init__(self, net: Net):
        super().__init__(net)
        self.log_scale = nn.Parameter(torch.tensor(0.0))

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        loc = self.net(z)
        scale = (self.log_scale.exp() + MIN_SCALE).expand_as(loc)
        return Independent(Law(loc, scale, validate_args=False), 1, validate_args=False)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias to the mean, and b to the data's spread, of which 2 b^2 is the square."""
        self.net.last.bias.copy_(mean)
        self.log_scale.copy_(((var.mean() / 2).sqrt() - MIN_SCALE).clamp_min(1e-6).log())
