"""The whole idea on one page: three parts that each return a distribution, and draws from them.

z ~ prior p(z)      x | z ~ likelihood p(x|z)      z | x ~ posterior q(z|x)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from minamo.batch import Batch
from minamo.likelihoods import Likelihood
from minamo.posteriors import Posterior
from minamo.priors import Prior


@dataclass(frozen=True, eq=False)
class Draw:
    """K reparameterized draws of z for B rows. Log-densities are in nats, summed over the event.

    What is not given is computed when it is first asked for, and once.
    """

    z: Tensor
    """[K, B, latent_dim]."""
    log_px_z: Tensor
    """log p(x|z), [K, B]."""
    q: Distribution
    """q(z|x), batch shape [B]."""
    p: Distribution
    """p(z)."""

    @cached_property
    def log_pz(self) -> Tensor:
        """Log p(z), [K, B]."""
        return self.p.log_prob(self.z)

    @cached_property
    def log_qz(self) -> Tensor:
        """Log q(z|x), [K, B]."""
        return self.q.log_prob(self.z)

    @property
    def log_w(self) -> Tensor:
        """Log p(x, z) / q(z|x), [K, B]: its expectation is the ELBO, its log-mean-exp IWAE-K."""
        return self.log_px_z + self.log_pz - self.log_qz

    @cached_property
    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)), [B]: closed form where torch has one, else the mean over the K draws."""
        try:
            return kl_divergence(self.q, self.p)
        except NotImplementedError:
            return (self.log_qz - self.log_pz).mean(0)


class LatentVariableModel(nn.Module):
    """p(z) p(x|z) with its approximate posterior q(z|x).

    >>> from minamo.likelihoods import Normal
    >>> from minamo.nets import Mlp
    >>> from minamo.posteriors import Amortized
    >>> from minamo.priors import StandardNormal
    >>> decoder, encoder = Mlp(2, 5, hidden=(8,)), Mlp(5, 2 * 2, hidden=(8,))
    >>> vae = LatentVariableModel(StandardNormal(2), Normal(decoder, scale=1.0), Amortized(encoder))
    >>> vae.draw(Batch(torch.zeros(3, 5), torch.arange(3)), k=7).log_w.shape
    torch.Size([7, 3])
    """

    def __init__(self, prior: Prior, likelihood: Likelihood, posterior: Posterior):
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood
        self.posterior = posterior

    def log_joint(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """Return z [K, B, latent_dim] -> log p(x, z) [K, B] in nats, for the rows of `batch`."""
        return lambda z: self.likelihood(z).log_prob(batch.x) + self.prior().log_prob(z)

    def draw(self, batch: Batch, k: int = 1, noise: Tensor | None = None) -> Draw:
        """Draw z ~ q(z|x) k times for every row, and weigh the draws.

        Args:
            batch: the rows.
            k: draws for each.
            noise: standard normal [K, 1 or B, latent_dim] to draw with, in place of torch's generator.
        """
        q = self.posterior(batch, self.log_joint(batch))
        z = q.rsample(torch.Size([k])) if noise is None else self.posterior.reparameterize(q, noise)
        return Draw(z, self.likelihood(z).log_prob(batch.x), q, self.prior())

    def sample(self, n: int) -> Distribution:
        """Draw z ~ p(z) n times and return p(x|z): its `.mean` or its `.sample()` is [n, D]."""
        return self.likelihood(self.prior().sample(torch.Size([n])))
