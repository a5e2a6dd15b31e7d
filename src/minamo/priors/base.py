"""What a prior is."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributions import Distribution


class Prior(nn.Module):
    """p(z): `prior()` is a distribution with batch shape () and event shape (latent_dim,)."""

    name: str
    """What users call it."""
    latent_dim: int

    def forward(self) -> Distribution:
        """Return p(z)."""
        raise NotImplementedError

    def start_from(self, x: Tensor) -> None:
        """Begin from some data, in model units [n, D], where the prior has a use for them."""
