"""A linear decoder with Gaussian noise: every quantity of the model in closed form, float64.

x = W z + b + sigma e. With orthogonal columns of W the exact posterior is diagonal, so that an encoder can be exact.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from minamo.batch import Batch
from minamo.families import Diagonal
from minamo.families.base import LOG_VAR_BOUND
from minamo.likelihoods import Normal
from minamo.model import LatentVariableModel
from minamo.nets import Mlp
from minamo.posteriors import Amortized
from minamo.priors import StandardNormal


class Oracle(NamedTuple):
    """A model and what is true of it."""

    model: LatentVariableModel
    """Its encoder is the exact posterior."""
    log_p: MultivariateNormal
    """p(x)."""
    w: Tensor
    sigma: float

    def batch(self, n: int) -> Batch:
        """Draw rows from the model itself."""
        with torch.random.fork_rng():
            torch.manual_seed(1)
            x = self.log_p.sample((n,))
        return Batch(x, torch.arange(n))


def oracle(latent_dim: int = 3, n_columns: int = 7, sigma: float = 0.4) -> Oracle:
    """Build the model with its exact posterior as encoder."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(n_columns, latent_dim, generator=generator, dtype=torch.float64))[0]
    w = basis * torch.linspace(0.5, 2.0, latent_dim, dtype=torch.float64)
    b = torch.randn(n_columns, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng():
        decoder = Mlp(latent_dim, n_columns, hidden=()).double()
        encoder = Mlp(n_columns, 2 * latent_dim, hidden=()).double()
    model = LatentVariableModel(
        StandardNormal(latent_dim), Normal(decoder, scale=sigma), Amortized(encoder, Diagonal(latent_dim))
    )
    model = model.double()
    model.likelihood.set_scale(sigma)  # type: ignore[operator]
    precision = (w**2).sum(0) / sigma**2 + 1
    log_var = -precision.log()
    with torch.no_grad():
        decoder.last.weight.copy_(w)
        decoder.last.bias.copy_(b)
        encoder.last.weight.zero_()
        gain = w.T / sigma**2 / precision[:, None]
        encoder.last.weight[:latent_dim] = gain
        encoder.last.bias[:latent_dim] = -gain @ b
        # The inverse of the bound on log sigma^2.
        encoder.last.bias[latent_dim:] = LOG_VAR_BOUND * torch.atanh(log_var / LOG_VAR_BOUND)
    eye = torch.eye(n_columns, dtype=torch.float64)
    return Oracle(model, MultivariateNormal(b, w @ w.T + sigma**2 * eye), w, sigma)


def ppca(x: Tensor, latent_dim: int) -> tuple[float, float, Tensor]:
    """Return (mean log p, sigma^2, eigenvalues) of the PPCA maximum ("Probabilistic PCA", Tipping, Bishop, 1999)."""
    x = x.double()
    centered = x - x.mean(0)
    values = torch.linalg.eigvalsh(centered.T @ centered / len(x)).flip(0)
    var = values[latent_dim:].mean()
    n = x.shape[1]
    log_det = values[:latent_dim].log().sum() + (n - latent_dim) * var.log()
    return float(-0.5 * (n * torch.log(torch.tensor(2 * torch.pi)) + log_det + n)), float(var), values
