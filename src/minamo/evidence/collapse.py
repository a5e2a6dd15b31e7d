"""Which latents carry anything: counted after training, foreseen before it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

ACTIVE = 0.01
"""A latent is active if Var_x(E_q[z]) exceeds this (Burda et al., 2016)."""


def active_units(z_mean: Tensor) -> int:
    """Count the latents whose posterior mean [N, latent_dim] moves with x."""
    return int((z_mean.var(0, correction=0) > ACTIVE).sum())


def covariance_eigenvalues(x: Tensor) -> np.ndarray:
    """Return the eigenvalues of the covariance (divisor N) of x [N, D], largest first, in float64.

    Under a linear decoder with noise sigma, exactly the latents with an eigenvalue above sigma^2
    survive: "Don't Blame the ELBO!" (Lucas et al., 2019).

    >>> covariance_eigenvalues(torch.tensor([[0.0, 0.0], [2.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    centered = x.double() - x.double().mean(0)
    n, d = centered.shape
    gram = centered.T @ centered if d <= n else centered @ centered.T
    values = torch.linalg.eigvalsh(gram / n).flip(0).clamp_min(0)
    return values[: min(n, d)].numpy()
