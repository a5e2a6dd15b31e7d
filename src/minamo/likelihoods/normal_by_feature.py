"""x_j | z ~ N(xhat_j(z), sigma_j^2): every column its own sigma, or every cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints
from torch.distributions import Normal as Law

from minamo.likelihoods.base import Likelihood
from minamo.likelihoods.normal import MIN_SCALE
from minamo.nets import Net


class NormalByFeature(Likelihood):
    """One learned sigma for every column.

    Args:
        net: maps z [..., latent_dim] to the mean xhat [..., D].
    """

    name = "normal-by-feature"
    support = constraints.real
    measure = "Lebesgue measure"

    def __init__(self, net: Net):
        super().__init__(net)
        self.log_scale = nn.Parameter(torch.zeros(net.last.out_features))

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        mean = self.net(z)
        scale = (self.log_scale.exp() + MIN_SCALE).expand_as(mean)
        return Independent(Law(mean, scale, validate_args=False), 1, validate_args=False)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias to the mean, and each sigma to its column's spread."""
        self.net.last.bias.copy_(mean)
        self.log_scale.copy_((var.sqrt() - MIN_SCALE).clamp_min(1e-6).log())


class HeteroscedasticNormal(Likelihood):
    """Sigma is a function of z, too: the net gives the mean, then log sigma, for every column.

    Where a decoder can tell which cells it knows for sure, sigma falls to its floor of 0.001 and the density says more
    about the floor than about the data: see `NormalByFeature`.
    """

    name = "heteroscedastic-normal"
    per_column = 2
    support = constraints.real
    measure = "Lebesgue measure"

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        mean, log_scale = self.parts(z)
        scale = log_scale.clamp_max(20.0).exp() + MIN_SCALE
        return Independent(Law(mean, scale, validate_args=False), 1, validate_args=False)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias to the mean and to the spread."""
        log_scale = (var.sqrt() - MIN_SCALE).clamp_min(1e-2).log()
        self.net.last.bias.copy_(torch.cat([mean, log_scale]))
