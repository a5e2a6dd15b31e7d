"""q = N(mu, diag sigma^2): independent latents."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from minamo.families.base import Family, Move, bounded


class Diagonal(Family):
    """The family of "Auto-Encoding Variational Bayes" (Kingma, Welling, 2013); parameters are mu, log sigma^2.

    >>> family = Diagonal(2)
    >>> family(torch.tensor([1.0, 2.0, 0.0, 0.0])).mean.tolist()
    [1.0, 2.0]
    """

    name = "diagonal"

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.n_params = 2 * latent_dim

    def forward(self, params: Tensor) -> Distribution:
        """Return N(mu, diag sigma^2)."""
        mu, log_var = params.chunk(2, dim=-1)
        return Independent(Normal(mu, torch.exp(0.5 * log_var), validate_args=False), 1, validate_args=False)

    def from_net(self, outputs: Tensor) -> Tensor:
        """Bound log sigma^2."""
        mu, log_var = outputs.chunk(2, dim=-1)
        return torch.cat([mu, bounded(log_var)], -1)

    def origin(self) -> Tensor:
        """Return mu = 0, sigma = 1."""
        return torch.zeros(self.n_params)

    def nearest(self, p: MultivariateNormal) -> Tensor:
        """Return the parameters of argmin KL(q || p): p's mean, and 1 / the diagonal of p's precision as variance."""
        eye = torch.eye(self.latent_dim, dtype=p.loc.dtype, device=p.loc.device).expand_as(p.scale_tril)
        inverse = torch.linalg.solve_triangular(p.scale_tril, eye, upper=False)
        return torch.cat([p.loc, -inverse.square().sum(-2).log()], -1)

    def moved(self, params: Tensor, move: Move) -> Tensor:
        """mu + sigma * shift, log sigma + spread."""
        mu, log_var = params.chunk(2, dim=-1)
        return torch.cat([mu + torch.exp(0.5 * log_var) * move.shift, log_var + 2 * move.spread], -1)
