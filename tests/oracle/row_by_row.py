"""Parts with parameters of their own for every row, so that one pass back gives a gradient for each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from minamo.batch import Batch
from minamo.distributions import IsotropicNormal
from minamo.likelihoods import Likelihood
from minamo.model import Draw, LatentVariableModel
from minamo.posteriors import Posterior
from minamo.priors import Prior


def rows_of(value: Tensor, n: int) -> nn.Parameter:
    """N copies of a value, each a parameter of its own."""
    return nn.Parameter(value.detach().expand(n, *value.shape).clone())


class RowPosterior(Posterior):
    """q(z|row i) = N(mu_i, diag sigma_i^2)."""

    def __init__(self, mu: nn.Parameter, log_sigma: nn.Parameter):
        super().__init__()
        self.mu, self.log_sigma = mu, log_sigma

    def forward(self, batch: Batch, log_joint: Callable[[Tensor], Tensor]) -> Distribution:
        return Independent(Normal(self.mu, self.log_sigma.exp(), validate_args=False), 1, validate_args=False)


class RowPrior(Prior):
    """p(z) = N(mean_i, I)."""

    def __init__(self, mean: nn.Parameter):
        super().__init__()
        self.latent_dim = mean.shape[-1]
        self.mean = mean

    def forward(self) -> Distribution:
        return Independent(Normal(self.mean, torch.ones_like(self.mean), validate_args=False), 1, validate_args=False)


class RowLinear(Likelihood):
    """p(x|z) = N(W_i z + b_i, sigma_i^2 I)."""

    def __init__(self, w: nn.Parameter, b: nn.Parameter, log_sigma: nn.Parameter):
        super().__init__()
        self.w, self.b, self.log_sigma = w, b, log_sigma

    def forward(self, z: Tensor) -> Distribution:
        return IsotropicNormal(torch.einsum("ndl,knl->knd", self.w, z) + self.b, self.log_sigma.exp())


def gradients(
    model: LatentVariableModel,
    x: Tensor,
    objective: Callable[[Draw], Tensor],
    k: int,
    n: int,
    reparameterized: bool = True,
) -> dict[str, Tensor]:
    """N gradients of an objective of K draws for the row x [D], by parameter: [n, size]."""
    draw = model.draw(Batch(x.expand(n, -1), torch.arange(n)), k, reparameterized=reparameterized)
    leaves = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(objective(draw).sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
    return {name: g.reshape(n, -1) for name, g in zip(leaves, found, strict=True)}
