"""Values in [0, 1] that are not 0 or 1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from minamo.distributions import ContinuousBernoulli as Law
from minamo.likelihoods.base import Likelihood


class ContinuousBernoulli(Likelihood):
    """log p(x|z) = sum_j x_j l_j - log((e^l_j - 1) / l_j), for x in [0, 1] and l = net(z)."""

    name = "continuous-bernoulli"
    support = constraints.unit_interval
    measure = "Lebesgue measure"

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        return Law(self.net(z))

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias where the law has the data's mean, kept within (0.01, 0.99), by bisection."""
        target = mean.clamp(0.01, 0.99)
        low, high = torch.full_like(target, -200.0), torch.full_like(target, 200.0)
        for _ in range(60):
            middle = (low + high) / 2
            above = Law(middle).mean > target
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        self.net.last.bias.copy_((low + high) / 2)
