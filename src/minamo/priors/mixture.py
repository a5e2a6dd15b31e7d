"""p(z) = a mixture of Gaussians with means and scales of its own."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.distributions import Distribution

from minamo.distributions import GaussianMixture
from minamo.priors.base import Prior

START = 0.5


class Mixture(Prior):
    """p(z) = sum_c pi_c N(z; mu_c, diag sigma_c^2), all learned.

    Means begin at draws of N(0, 0.25 I), scales where all together have variance 1, weights equal.

    Args:
        latent_dim: width of z.
        components: C.

    >>> prior = Mixture(2, components=3)
    >>> prior().log_prob(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    name = "mixture"

    def __init__(self, latent_dim: int, components: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(START * torch.randn(components, latent_dim))
        self.log_scale = nn.Parameter(torch.full((components, latent_dim), 0.5 * math.log(1 - START**2)))

    def forward(self) -> Distribution:
        """Return the mixture."""
        return GaussianMixture(self.logits, self.loc, self.log_scale.exp())
