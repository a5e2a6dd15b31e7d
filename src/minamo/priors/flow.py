"""p(z) = a standard normal pushed through a learned invertible map."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.distributions import Distribution

from minamo.distributions import FlowedNormal
from minamo.nets import autoregressive, coupling, held
from minamo.priors.base import Prior


class Coupling(Prior):
    """z = T(u), u ~ N(0, I), T of affine coupling layers: density and draws cost one pass each."""

    name = "coupling"
    zero: Tensor

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.register_buffer("zero", torch.zeros(latent_dim), persistent=False)
        self.transform = coupling(latent_dim)

    def forward(self) -> Distribution:
        """Return the law of T(u)."""
        return FlowedNormal(self.zero, torch.ones_like(self.zero), self.transform(), partial(held, self.transform))


class Autoregressive(Prior):
    """z = T(u), u ~ N(0, I), T^-1 masked autoregressive: the density costs one pass, a draw one for each latent."""

    name = "autoregressive"
    zero: Tensor

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.register_buffer("zero", torch.zeros(latent_dim), persistent=False)
        self.inverse = autoregressive(latent_dim)

    def forward(self) -> Distribution:
        """Return the law of T(u)."""
        return FlowedNormal(self.zero, torch.ones_like(self.zero), self.inverse().inv, lambda: held(self.inverse).inv)
