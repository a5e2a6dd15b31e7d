"""One encoder for all data: q(z|x) = N(mu(x), diag sigma^2(x))."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from minamo.batch import Batch
from minamo.posteriors.base import Posterior

LOG_VAR_BOUND = 14.0
"""log sigma^2 stays inside (-14, 14), sigma inside (9e-4, 1.1e3): exp never overflows in float32."""


def bounded(log_var: Tensor) -> Tensor:
    """Squash log sigma^2 into (-14, 14) smoothly; close to the identity where posteriors live.

    >>> [round(float(bounded(torch.tensor(v))), 2) for v in (0.0, -4.0, 1e30)]
    [0.0, -3.89, 14.0]
    """
    return LOG_VAR_BOUND * torch.tanh(log_var / LOG_VAR_BOUND)


class Amortized(Posterior):
    """The encoder of "Auto-Encoding Variational Bayes" (Kingma, Welling, 2013).

    Args:
        net: maps x [B, D] to [B, 2 latent_dim]: first mu, then log sigma^2 before its bound.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, batch: Batch, log_joint: Callable[[Tensor], Tensor]) -> Distribution:
        """Return N(mu(x), diag sigma^2(x)), batch shape [B]."""
        mu, log_var = self.net(batch.x).chunk(2, dim=-1)
        scale = torch.exp(0.5 * bounded(log_var))
        return Independent(Normal(mu, scale, validate_args=False), 1, validate_args=False)

    def reparameterize(self, q: Distribution, noise: Tensor) -> Tensor:
        """Z = mu + sigma * noise."""
        return q.mean + q.stddev * noise
