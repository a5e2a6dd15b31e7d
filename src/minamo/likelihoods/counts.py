"""Whole numbers from 0 on: Poisson and negative binomial, with more zeros or without."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints
from torch.distributions import NegativeBinomial as NegativeBinomialLaw
from torch.distributions import Poisson as PoissonLaw

from minamo.distributions import ZeroInflated
from minamo.likelihoods.base import Likelihood
from minamo.nets import Net

MOST_LOG = 20.0
"""log of a mean stays inside (-20, 20): e^20 is half a billion, and float32 holds its exponential."""
COUNTS = "counting measure on {0, 1, 2, ...}"


class Poisson(Likelihood):
    """x_j | z ~ Poisson(exp(net(z))_j)."""

    name = "poisson"
    support = constraints.nonnegative_integer
    measure = COUNTS
    log_seen = True

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        return Independent(PoissonLaw(_mean(self.net(z)), validate_args=False), 1, validate_args=False)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias to the logarithm of the mean."""
        self.net.last.bias.copy_(_start(mean))


class NegativeBinomial(Likelihood):
    """x_j | z with mean m = exp(net(z))_j and variance m + m^2 / r_j, one learned r for every column.

    Args:
        net: maps z [..., latent_dim] to log m [..., D].
    """

    name = "negative-binomial"
    support = constraints.nonnegative_integer
    measure = COUNTS
    log_seen = True

    def __init__(self, net: Net):
        super().__init__(net)
        self.log_r = nn.Parameter(torch.zeros(net.last.out_features // self.per_column))

    def law(self, log_mean: Tensor) -> Distribution:
        """The law of every cell, given log m."""
        log_r = self.log_r.clamp(-MOST_LOG, MOST_LOG)
        logits = log_mean.clamp(-MOST_LOG, MOST_LOG) - log_r
        return NegativeBinomialLaw(log_r.exp().expand_as(logits), logits=logits, validate_args=False)

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        return Independent(self.law(self.net(z)), 1, validate_args=False)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias to the logarithm of the mean, and r by the variance beyond it."""
        self.net.last.bias[: len(mean)].copy_(_start(mean))
        beyond = (var - mean).clamp_min(1e-2 * mean.clamp_min(1e-3))
        self.log_r.copy_((mean.clamp_min(1e-3) ** 2 / beyond).log().clamp(-3, 5))


class ZeroInflatedPoisson(Poisson):
    """Poisson, or 0 with a probability of its own: the net gives log mean, then the logit, for every column."""

    name = "zero-inflated-poisson"
    per_column = 2

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        log_mean, logits = self.parts(z)
        return ZeroInflated(PoissonLaw(_mean(log_mean), validate_args=False), logits)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """As without the zeros, of which a tenth are of the other kind."""
        self.net.last.bias.copy_(torch.cat([_start(mean), torch.full_like(mean, -2.2)]))


class ZeroInflatedNegativeBinomial(NegativeBinomial):
    """Negative binomial, or 0 with a probability of its own: the net gives log mean, then the logit, for every column.

    "Deep generative modeling for single-cell transcriptomics" (Lopez, Regier, Cole, Jordan, Yosef, 2018).
    """

    name = "zero-inflated-negative-binomial"
    per_column = 2

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        log_mean, logits = self.parts(z)
        return ZeroInflated(self.law(log_mean), logits)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """As without the zeros, of which a tenth are of the other kind."""
        super().start_from(mean, var)
        self.net.last.bias[len(mean) :].fill_(-2.2)


def _mean(log_mean: Tensor) -> Tensor:
    return log_mean.clamp(-MOST_LOG, MOST_LOG).exp()


def _start(mean: Tensor) -> Tensor:
    return mean.clamp_min(1e-3).log()
