"""The whole idea on one page: three parts that each return a distribution, and draws from them.

z ~ prior p(z)      x | z ~ likelihood p(x|z)      z | x ~ posterior q(z|x)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from minamo.batch import Batch, LogJoint
from minamo.distributions import closed_form_kl, push
from minamo.likelihoods import Likelihood
from minamo.posteriors import Posterior
from minamo.priors import Prior


@dataclass(frozen=True, eq=False)
class Draw:
    """K draws of z for B rows. Log-densities are in nats, summed over the event.

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
    kl_weight: Tensor | float = 1.0
    """What training weighs the part of the prior and q with, for a while: below 1 the bounds are not bounds."""

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
        return self.log_px_z + self.kl_weight * (self.log_pz - self.log_qz)

    @cached_property
    def kl(self) -> Tensor:
        """KL(q(z|x) || p(z)), [B]: closed form where there is one, else the mean over the K draws."""
        closed = closed_form_kl(self.q, self.p)
        return (self.log_qz - self.log_pz).mean(0) if closed is None else closed


class LatentVariableModel(nn.Module):
    """p(z) p(x|z) with its approximate posterior q(z|x).

    >>> from minamo.families import Diagonal
    >>> from minamo.likelihoods import Normal
    >>> from minamo.nets import Mlp
    >>> from minamo.posteriors import Amortized
    >>> from minamo.priors import StandardNormal
    >>> decoder, encoder = Mlp(2, 5, hidden=(8,)), Mlp(5, 2 * 2, hidden=(8,))
    >>> vae = LatentVariableModel(StandardNormal(2), Normal(decoder, scale=1.0), Amortized(encoder, Diagonal(2)))
    >>> vae.draw(Batch(torch.zeros(3, 5), torch.arange(3)), k=7).log_w.shape
    torch.Size([7, 3])
    """

    def __init__(self, prior: Prior, likelihood: Likelihood, posterior: Posterior):
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood
        self.posterior = posterior

    def log_joint(self, batch: Batch) -> LogJoint:
        """Return log p(x, z) as a function of z, for the rows of `batch`."""

        def log_joint(z: Tensor, rows: Tensor | None = None) -> Tensor:
            x = batch.x if rows is None else batch.x[rows]
            return self.likelihood(z).log_prob(x) + self.prior().log_prob(z)

        return log_joint

    def infer(self, batch: Batch) -> Distribution:
        """Return q(z|x) for the rows of `batch`."""
        return self.posterior(batch, self.log_joint(batch))

    def draw(
        self,
        batch: Batch,
        k: int = 1,
        *,
        noise: Tensor | None = None,
        reparameterized: bool = True,
        q: Distribution | None = None,
        kl_weight: Tensor | float = 1.0,
    ) -> Draw:
        """Draw z ~ q(z|x) k times for every row, and weigh the draws.

        Args:
            batch: the rows.
            k: draws for each.
            noise: standard normal [K, 1 or B, latent_dim] to draw with, in place of torch's generator.
            reparameterized: z is a differentiable function of the parameters of q; False holds the same draws
                constant, for a gradient along the score (`objectives.score_function`).
            q: q(z|x) where it is known already; default: the posterior is asked.
            kl_weight: see `Draw`; other than 1 in training only.
        """
        q = self.infer(batch) if q is None else q
        z = q.rsample(torch.Size([k])) if noise is None else push(q, noise)[0]
        if not reparameterized:
            z = z.detach()
        return Draw(z, self.likelihood(z).log_prob(batch.x), q, self.prior(), kl_weight)

    def sample(self, n: int) -> Distribution:
        """Draw z ~ p(z) n times and return p(x|z): its `.mean` or its `.sample()` is [n, D]."""
        return self.likelihood(self.prior().sample(torch.Size([n])))

    @torch.no_grad()
    def simulate(self, n: int) -> tuple[Tensor, Tensor]:
        """Draw z ~ p(z) and x ~ p(x|z), [n, latent_dim] and [n, D]: z is then an exact draw of p(z|x)."""
        z = self.prior().sample(torch.Size([n]))
        return z, self.likelihood(z).sample()
