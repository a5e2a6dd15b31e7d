"""A linear decoder whose columns are not orthogonal: the posterior is correlated, and no diagonal q reaches it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from minamo.batch import Batch
from minamo.likelihoods import Normal
from minamo.model import LatentVariableModel
from minamo.nets import Mlp
from minamo.posteriors import Posterior
from minamo.priors import StandardNormal


class Correlated(NamedTuple):
    """A model without a posterior of its own, and what is true of it."""

    w: Tensor
    sigma: float
    batch: Batch
    """Rows drawn from the model, numbered from 0."""
    log_p: Tensor
    """log p(x), [B]."""
    posterior: MultivariateNormal
    """p(z|x), batch [B]."""

    def model(self, posterior: Posterior) -> LatentVariableModel:
        """Return the model with a posterior, float64."""
        with torch.random.fork_rng():
            decoder = Mlp(self.w.shape[1], self.w.shape[0], hidden=()).double()
        model = LatentVariableModel(StandardNormal(self.w.shape[1]), Normal(decoder, scale=self.sigma), posterior)
        model = model.double().eval()
        with torch.no_grad():
            decoder.last.weight.copy_(self.w)
            decoder.last.bias.zero_()
        model.likelihood.set_scale(self.sigma)  # type: ignore[operator]
        return model

    @property
    def mean_field_gap(self) -> float:
        """KL(q || posterior) of the best diagonal q: its variances are 1 / diag of the precision."""
        precision = self.posterior.precision_matrix[0]
        return 0.5 * float(precision.diagonal().log().sum() - torch.logdet(precision))


def correlated(latent_dim: int = 4, n_columns: int = 9, sigma: float = 0.3, n: int = 40) -> Correlated:
    """Draw W at random, with columns that differ in length, and rows from the model."""
    generator = torch.Generator().manual_seed(latent_dim)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    w = normal(n_columns, latent_dim) * torch.logspace(0, -0.7, latent_dim, dtype=torch.float64)
    x = normal(n, latent_dim) @ w.T + sigma * normal(n, n_columns)
    precision = w.T @ w / sigma**2 + torch.eye(latent_dim, dtype=torch.float64)
    mean = torch.linalg.solve(precision, w.T @ x.T / sigma**2).T
    p_x = MultivariateNormal(
        torch.zeros(n_columns, dtype=torch.float64), w @ w.T + sigma**2 * torch.eye(n_columns, dtype=torch.float64)
    )
    p_z = MultivariateNormal(mean, precision_matrix=precision.expand(n, -1, -1))
    return Correlated(w, sigma, Batch(x, torch.arange(n)), p_x.log_prob(x), p_z)


def kl_to(truth: Correlated, mean: Tensor, covariance: Tensor) -> Tensor:
    """KL(N(mean, covariance) || p(z|x)), [B], nats: log p - ELBO by a formula that knows nothing of the ELBO."""
    precision, d = truth.posterior.precision_matrix, mean.shape[-1]
    off = mean - truth.posterior.mean
    trace = (precision * covariance).sum((-1, -2))
    return 0.5 * (
        trace
        + ((precision @ off[..., None])[..., 0] * off).sum(-1)
        - d
        - torch.logdet(covariance)
        - torch.logdet(precision)
    )


def covariance(q: torch.distributions.Distribution) -> Tensor:
    """The covariance of a Gaussian q, [B, D, D]."""
    return q.covariance_matrix if isinstance(q, MultivariateNormal) else torch.diag_embed(q.variance)
