"""KL divergences in closed form, those that torch has and those that it lacks."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence


def closed_form_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """Return KL(q || p) in nats, of q's batch shape, or None where nobody knows it.

    >>> import torch
    >>> p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    >>> q = MultivariateNormal(torch.ones(2), torch.eye(2))
    >>> float(closed_form_kl(q, p))
    1.0
    """
    if type(q) is MultivariateNormal and type(p) is Independent and type(p.base_dist) is Normal:
        return _from_correlated_to_independent(q, p.base_dist)
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


def kl_per_latent(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q(z_j|x) || p(z_j)) of every latent alone, [B, latent_dim], nats; None where q's marginals are not known.

    They add up to the KL if q has independent latents, and to less by its total correlation if not.
    """
    if not (isinstance(p, Independent) and isinstance(p.base_dist, Normal)):
        return None
    if isinstance(q, MultivariateNormal):
        return closed_form_kl(Normal(q.mean, q.stddev, validate_args=False), p.base_dist)
    return closed_form_kl(q.base_dist, p.base_dist) if isinstance(q, Independent) else None


def _from_correlated_to_independent(q: MultivariateNormal, p: Normal) -> Tensor:
    """KL(N(m, A A') || N(mu, diag s^2)) = (|A/s|^2 + |(m - mu)/s|^2 - D) / 2 - log det A + sum log s."""
    a = q.scale_tril / p.scale[..., None]
    squares = a.square().sum((-1, -2)) + ((q.loc - p.loc) / p.scale).square().sum(-1)
    return 0.5 * (squares - q.loc.shape[-1]) - a.diagonal(dim1=-2, dim2=-1).log().sum(-1)
