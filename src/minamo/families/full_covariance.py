"""q = N(mu, A A'): correlated latents."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from minamo.families.base import Family, Move, bounded


class FullCovariance(Family):
    """N(mu, A A') with A = diag(sigma) (I + L), L strictly lower triangular.

    Parameters are mu, log sigma^2 and the D (D - 1) / 2 entries of L, row by row: L is free of units, and L = 0 is the
    diagonal family.

    >>> family = FullCovariance(2)
    >>> family(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.5])).covariance_matrix.tolist()
    [[1.0, 0.5], [0.5, 1.25]]
    """

    name = "full-covariance"
    below: Tensor

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.n_params = 2 * latent_dim + latent_dim * (latent_dim - 1) // 2
        self.register_buffer("below", torch.tril_indices(latent_dim, latent_dim, -1), persistent=False)

    def forward(self, params: Tensor) -> Distribution:
        """Return N(mu, A A')."""
        mu, _ = self._split(params)[:2]
        return MultivariateNormal(mu, scale_tril=self._factor(params), validate_args=False)

    def from_net(self, outputs: Tensor) -> Tensor:
        """Bound log sigma^2."""
        mu, log_var, lower = self._split(outputs)
        return torch.cat([mu, bounded(log_var), lower], -1)

    def from_diagonal(self, params: Tensor) -> Tensor:
        """Return the parameters [..., P] of the same distributions, given those of the diagonal family."""
        return torch.cat([params, params.new_zeros(*params.shape[:-1], self.below.shape[1])], -1)

    def origin(self) -> Tensor:
        """Return mu = 0, A = I."""
        return torch.zeros(self.n_params)

    def direction(self, gradient: Tensor, noise: Tensor) -> Move:
        """Return shift [B, D] and spread [B, D, D], the diagonal at half weight as the Fisher metric has it."""
        outer = (gradient.permute(1, 2, 0) @ noise.transpose(0, 1)).tril() / len(gradient)
        spread = outer - 0.5 * torch.diag_embed(outer.diagonal(dim1=-2, dim2=-1))
        return Move(gradient.mean(0), spread)

    def moved(self, params: Tensor, move: Move) -> Tensor:
        """mu + A shift, A (I + spread) with the diagonal of the factor kept positive."""
        a = self._factor(params)
        mu = params[..., : self.latent_dim] + (a @ move.shift[..., None])[..., 0]
        a = a @ (move.spread.tril(-1) + torch.diag_embed(move.spread.diagonal(dim1=-2, dim2=-1).exp()))
        sigma = a.diagonal(dim1=-2, dim2=-1)
        lower = (a / sigma[..., None])[..., self.below[0], self.below[1]]
        return torch.cat([mu, 2 * sigma.log(), lower], -1)

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        d = self.latent_dim
        return params[..., :d], params[..., d : 2 * d], params[..., 2 * d :]

    def _factor(self, params: Tensor) -> Tensor:
        """A, [..., D, D]."""
        _, log_var, lower = self._split(params)
        unit = torch.diag_embed(torch.ones_like(log_var))
        unit[..., self.below[0], self.below[1]] = lower
        return torch.exp(0.5 * log_var)[..., None] * unit
