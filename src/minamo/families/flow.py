"""q = T(N(mu, diag sigma^2)): latents bent by a normalizing flow."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.distributions import Distribution

from minamo.distributions import FlowedNormal
from minamo.families.base import Family, Move, bounded
from minamo.nets import coupling, held


class Flow(Family):
    """z = T(u; c), u ~ N(mu, diag sigma^2), T an affine coupling flow from zuko with a context c of its own.

    Parameters are mu, log sigma^2 and c. The coupling nets are shared by all data; with no context (`context=0`) so
    is T itself, and a member is then told apart by mu and sigma alone. A `Move` moves mu and sigma. "Density
    estimation using Real NVP" (Dinh, Sohl-Dickstein, Bengio, 2017).

    Args:
        latent_dim: width of z.
        context: width of c.
    """

    name = "flow"

    def __init__(self, latent_dim: int, context: int = 0):
        super().__init__()
        self.latent_dim = latent_dim
        self.n_params = 2 * latent_dim + context
        self.context = context
        self.transform = coupling(latent_dim, context)

    def forward(self, params: Tensor) -> Distribution:
        """Return the law of T(u; c)."""
        mu, log_var, c = self._split(params)
        context = c if self.context else None
        return FlowedNormal(
            mu, torch.exp(0.5 * log_var), self.transform(context), partial(held, self.transform, context)
        )

    def from_net(self, outputs: Tensor) -> Tensor:
        """Bound log sigma^2."""
        mu, log_var, c = self._split(outputs)
        return torch.cat([mu, bounded(log_var), c], -1)

    def origin(self) -> Tensor:
        """Return mu = 0, sigma = 1, c = 0: q = T(N(0, I); 0)."""
        return torch.zeros(self.n_params)

    def moved(self, params: Tensor, move: Move) -> Tensor:
        """mu + sigma * shift, log sigma + spread; c stays."""
        mu, log_var, c = self._split(params)
        return torch.cat([mu + torch.exp(0.5 * log_var) * move.shift, log_var + 2 * move.spread, c], -1)

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        d = self.latent_dim
        return params[..., :d], params[..., d : 2 * d], params[..., 2 * d :]
