"""Which latents carry anything: foreseen before training, counted after it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

ACTIVE = 0.01
"""A latent is active if Var_x(E_q[z]) exceeds this (Burda et al., 2016)."""


class Forecast(NamedTuple):
    """How many latents a linear decoder could keep alive."""

    alive: int
    threshold: float
    """What an eigenvalue has to exceed."""
    largest: float
    """The largest eigenvalue."""
    matrix: str
    """Whose eigenvalues they are, in words."""
    why: str
    """What the threshold is, in words."""


def active_units(z_mean: Tensor) -> int:
    """Count the latents whose posterior mean [N, latent_dim] moves with x."""
    return int((z_mean.var(0, correction=0) > ACTIVE).sum())


def covariance_eigenvalues(x: Tensor) -> Tensor:
    """Return the eigenvalues of the covariance (divisor N) of x [N, D], largest first, [D], in float64.

    >>> covariance_eigenvalues(torch.tensor([[0.0, 0.0], [2.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    centered = x.double() - x.double().mean(0)
    n, d = centered.shape
    gram = centered.T @ centered if d <= n else centered @ centered.T
    values = torch.linalg.eigvalsh(gram / n).flip(0).clamp_min(0)
    return torch.cat([values, values.new_zeros(d - len(values))])


def forecast(x: Tensor, latent_dim: int, scale: float | None = None, *, binary: bool = False) -> Forecast:
    """Say how many latents a linear decoder could keep alive on x [N, D].

    With noise sigma, exactly the latents survive whose eigenvalue of the covariance exceeds sigma^2: "Don't Blame
    the ELBO!" (Lucas et al., 2019). A sigma that is learned comes to the mean of the eigenvalues that are left over
    ("Probabilistic Principal Component Analysis", Tipping, Bishop, 1999). For binary data on logits the same
    expansion at W = 0 has the correlation matrix in place of the covariance, and 1 in place of sigma^2; chance alone
    gives sample eigenvalues up to (1 + sqrt(D / N))^2.

    Args:
        x: rows in model units.
        latent_dim: no more can live than there are.
        scale: sigma of a Normal likelihood; None: learned.
        binary: the likelihood is Bernoulli.
    """
    if binary:
        spread = x.double().std(0, correction=0)
        x = x[:, spread > 0] / spread[spread > 0]
        threshold = (1 + math.sqrt(x.shape[1] / len(x))) ** 2
        values, matrix, why = covariance_eigenvalues(x), "correlation matrix", "what chance gives"
    else:
        values, matrix = covariance_eigenvalues(x), "covariance of the data"
        if scale is None:
            # With as many latents as columns nothing is left over, and every direction lives.
            threshold = float(values[latent_dim:].mean()) if latent_dim < len(values) else 0.0
            why = "sigma^2 of the best linear decoder"
        else:
            threshold, why = scale**2, "scale^2"
    alive = min(int((values > threshold).sum()), latent_dim)
    return Forecast(alive, threshold, float(values[0]) if len(values) else 0.0, matrix, why)
