"""x_j | z ~ Bernoulli(sigmoid(logit_j(z)))."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from minamo.distributions import IndependentBernoulli
from minamo.likelihoods.base import Likelihood


class Bernoulli(Likelihood):
    """log p(x|z) = sum_j x_j l_j - log(1 + e^l_j), for x in {0, 1} and logits l = net(z).

    Args:
        net: maps z [..., latent_dim] to logits [..., D].
    """

    name = "bernoulli"
    support = constraints.boolean
    measure = "counting measure on {0, 1}"

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        return IndependentBernoulli(self.net(z))

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias to the logit of each column's mean, kept within (0.001, 0.999)."""
        self.net.last.bias.copy_(torch.logit(mean.clamp(1e-3, 1 - 1e-3)))
