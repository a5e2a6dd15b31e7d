"""x_j | z ~ Student-t around loc_j(z)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints
from torch.distributions import StudentT as Law

from minamo.likelihoods.base import Likelihood
from minamo.likelihoods.normal import MIN_SCALE
from minamo.nets import Net

LEAST_DF, START_DF = 1.0, 5.0
"""Degrees of freedom stay above 1, where there is a mean."""


class StudentT(Likelihood):
    """Heavy tails: an outlier costs a logarithm, not a square. Degrees of freedom and scale are learned, one for all.

    Args:
        net: maps z [..., latent_dim] to loc [..., D].
    """

    name = "student-t"
    support = constraints.real
    measure = "Lebesgue measure"

    def __init__(self, net: Net):
        super().__init__(net)
        self.log_scale = nn.Parameter(torch.tensor(0.0))
        self.log_df = nn.Parameter(torch.tensor(math.log(START_DF - LEAST_DF)))

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        loc = self.net(z)
        law = Law(
            (self.log_df.exp() + LEAST_DF).expand_as(loc),
            loc,
            (self.log_scale.exp() + MIN_SCALE).expand_as(loc),
            validate_args=False,
        )
        return Independent(law, 1, validate_args=False)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias to the mean, and the scale so that the variance is the data's."""
        self.net.last.bias.copy_(mean)
        df = self.log_df.exp() + LEAST_DF
        scale = (var.mean() * (df - 2).clamp_min(0.1) / df).sqrt()
        self.log_scale.copy_((scale - MIN_SCALE).clamp_min(1e-6).log())
