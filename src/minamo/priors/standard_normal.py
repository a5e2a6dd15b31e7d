"""p(z) = N(0, I)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from minamo.priors.base import Prior


class StandardNormal(Prior):
    """The prior with nothing to learn.

    >>> round(float(StandardNormal(2)().log_prob(torch.zeros(2))), 6)   # -log 2 pi
    -1.837877
    """

    name = "normal"
    zero: Tensor

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.register_buffer("zero", torch.zeros(latent_dim), persistent=False)

    def forward(self) -> Distribution:
        """Return N(0, I)."""
        return Independent(Normal(self.zero, torch.ones_like(self.zero), validate_args=False), 1, validate_args=False)
