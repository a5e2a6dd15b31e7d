"""p(z) = a mixture of the posteriors of learned pseudo-inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from minamo.distributions import GaussianMixture
from minamo.priors.base import Prior

START, SPREAD = 0.05, 0.01
"""Pseudo-inputs that do not begin at data are drawn from N(0.05, 0.01^2), as in the paper."""


class Vamp(Prior):
    """p(z) = sum_c pi_c q(z | u_c), with pseudo-inputs u_c in the space of the data, learned like any weight.

    The aggregated posterior is the prior with the best ELBO; this is it, with few made-up data in place of all.
    "VAE with a VampPrior" (Tomczak, Welling, 2018).

    Args:
        latent_dim: width of z.
        q: x [C, D] -> q(z|x), batch shape [C]: a method of the posterior, whose weights it shares.
        n_columns: D.
        components: C.
        low, high: the data's support; what is encoded is clipped to it.
        weighted: learn the pi_c, too; else they are all 1/C.
    """

    name = "vamp"

    def __init__(
        self,
        latent_dim: int,
        q: Callable[[Tensor], Distribution],
        n_columns: int,
        components: int,
        *,
        low: float = -torch.inf,
        high: float = torch.inf,
        weighted: bool = False,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        # A bound method, not a module: the posterior's weights are registered once, with the posterior, and a copy of
        # the whole model gives the copied prior the copied posterior.
        self.q = q
        self.low, self.high = low, high
        self.inputs = nn.Parameter(START + SPREAD * torch.randn(components, n_columns))
        self.logits = nn.Parameter(torch.zeros(components), requires_grad=weighted)

    def pseudo_inputs(self) -> Tensor:
        """u, [C, D], model units, inside the support."""
        return _Clipped.apply(self.inputs, self.low, self.high)  # pyright: ignore[reportReturnType]

    @torch.no_grad()
    def heaviest(self, n: int) -> Tensor:
        """Return the n pseudo-inputs with the largest weights, [n, D], or all where there are fewer."""
        order = self.logits.argsort(descending=True, stable=True)
        return self.pseudo_inputs()[order[:n]]

    def forward(self) -> Distribution:
        """Return the mixture of the q(z|u_c)."""
        q = self.q(self.pseudo_inputs())
        if type(q) is Independent and type(q.base_dist) is Normal:
            return GaussianMixture(self.logits, q.base_dist.loc, q.base_dist.scale)
        return MixtureSameFamily(Categorical(logits=self.logits, validate_args=False), q, validate_args=False)

    @torch.no_grad()
    def start_from(self, x: Tensor) -> None:
        """Begin at data; where there are fewer than components, at all of them in turn."""
        self.inputs.copy_(x[torch.arange(len(self.inputs)) % len(x)])


class _Clipped(torch.autograd.Function):
    """Clip, with a gradient that leads back inside: that of `clamp` is 0 outside, and what once left would stay out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (x,), (slope,) = ctx.saved_tensors, slopes
        # A step goes against the slope.
        leaves = ((x <= ctx.low) & (slope > 0)) | ((x >= ctx.high) & (slope < 0))
        return slope.masked_fill(leaves, 0.0), None, None
