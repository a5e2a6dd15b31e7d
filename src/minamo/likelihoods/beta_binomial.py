"""Counts out of n."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from minamo.distributions import BetaBinomial as Law
from minamo.likelihoods.base import Likelihood
from minamo.nets import Net

MOST_LOG = 8.0
"""log a and log b stay inside (-8, 8): with e^8 each the law is a binomial, to the digits of float32."""


class BetaBinomial(Likelihood):
    """x_j | z ~ Binomial(n, p), p ~ Beta(a, b), a and b given by the net: 8-bit data read as counts out of 255.

    Args:
        net: maps z [..., latent_dim] to log a, then log b, for every column.
        n: trials.
    """

    name = "beta-binomial"
    per_column = 2
    support = constraints.nonnegative_integer

    def __init__(self, net: Net, n: int):
        super().__init__(net)
        self.n = n
        self.support = constraints.integer_interval(0, n)  # pyright: ignore
        self.measure = f"counting measure on {{0, ..., {n}}}"

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        a, b = (part.clamp(-MOST_LOG, MOST_LOG).exp() for part in self.parts(z))
        return Independent(Law(self.n, a, b), 1, validate_args=False)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set a + b to 2, with the data's mean."""
        share = (mean / self.n).clamp(0.01, 0.99)
        self.net.last.bias.copy_(torch.cat([(2 * share).log(), (2 - 2 * share).log()]))
