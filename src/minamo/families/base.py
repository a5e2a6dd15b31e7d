"""What a family of posteriors is, and how one moves inside it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

LOG_VAR_BOUND = 14.0
"""log sigma^2 from a net stays inside (-14, 14), sigma inside (9e-4, 1.1e3): exp never overflows in float32."""


def bounded(log_var: Tensor) -> Tensor:
    """Squash log sigma^2 into (-14, 14) smoothly; close to the identity where posteriors live.

    >>> [round(float(bounded(torch.tensor(v))), 2) for v in (0.0, -4.0, 1e30)]
    [0.0, -3.89, 14.0]
    """
    return LOG_VAR_BOUND * torch.tanh(log_var / LOG_VAR_BOUND)


class Move(NamedTuple):
    """A step of q, made in the space of its noise: eps becomes shift + (1 + spread) eps before it becomes z."""

    shift: Tensor
    """[B, latent_dim]."""
    spread: Tensor
    """[B, latent_dim] of a diagonal, or [B, latent_dim, latent_dim] of a lower triangle."""


class Family(nn.Module):
    """Q: every member is z = T(eps; params) with eps ~ N(0, I), T smooth and invertible.

    The noise is the natural place to move q from: near a member that fits, an ELBO of any model has curvature close
    to -1 there in every direction, whatever the units and correlations of z. A gradient with respect to a `Move`
    is therefore already the natural gradient, its step size needs no tuning, and half its squared
    length is the improvement that is left, in nats.
    """

    name: str
    """What users call it."""
    latent_dim: int
    n_params: int
    """P, the width of a vector of parameters."""

    def forward(self, params: Tensor) -> Distribution:
        """Return the members with `params` [..., P]: batch shape [...], event shape [latent_dim]."""
        raise NotImplementedError

    def from_net(self, outputs: Tensor) -> Tensor:
        """Turn unbounded outputs of a net [..., P] into parameters [..., P]."""
        raise NotImplementedError

    def origin(self) -> Tensor:
        """Return the parameters [P] from which a search begins that knows nothing: q = N(0, I), up to T."""
        raise NotImplementedError

    def direction(self, gradient: Tensor, noise: Tensor) -> Move:
        """Return the natural gradient, as a move, from the gradient at each draw.

        Args:
            gradient: of log p(x, z) - log q(z) with respect to the noise, q's parameters held in log q, [K, B, D].
            noise: the draws it was taken at, [K, 1 or B, D].
        """
        return Move(gradient.mean(0), 0.5 * (gradient * noise).mean(0))

    def moved(self, params: Tensor, move: Move) -> Tensor:
        """Return the parameters [B, P] after a move."""
        raise NotImplementedError


def inner(a: Move, b: Move) -> Tensor:
    """<a, b> in the Fisher metric of the noise, [B]: KL(moved || before) is half of <a, a>, to second order."""
    if a.spread.dim() == a.shift.dim():
        return (a.shift * b.shift).sum(-1) + 2 * (a.spread * b.spread).sum(-1)
    product = a.spread * b.spread
    return (a.shift * b.shift).sum(-1) + product.sum((-1, -2)) + product.diagonal(dim1=-2, dim2=-1).sum(-1)
