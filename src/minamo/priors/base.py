"""What a prior is."""

from __future__ import annotations

from torch import nn
from torch.distributions import Distribution


class Prior(nn.Module):
    """p(z): `prior()` is a distribution with batch shape () and event shape (latent_dim,)."""

    latent_dim: int

    def forward(self) -> Distribution:
        """Return p(z)."""
        raise NotImplementedError
