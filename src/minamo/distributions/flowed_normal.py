"""A diagonal normal pushed through an invertible map: u ~ N(mu, diag sigma^2), x = T(u)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, Transform, constraints

DRAWS_OF_MEAN = 256
"""Draws behind `mean`; they come in pairs u, -u, so that of an affine map it is exact."""


class FlowedNormal(Distribution):
    """log q(x) = log N(u; mu, diag sigma^2) - log |det dT/du|, with u = T^-1(x).

    torch's TransformedDistribution has neither a mean nor a way to hold its parameters constant.

    Args:
        loc: mu, [..., D].
        scale: sigma, [..., D].
        transform: T, with `call_and_ladj` (zuko's): maps u [K, ..., D] to x and log |det|.
        held: makes T again with its parameters out of the graph.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, transform: Transform, held: Callable[[], Transform]):
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)
        self.loc = loc
        self.scale = scale
        self.transform = transform
        self._held = held

    def base(self) -> Distribution:
        """N(mu, diag sigma^2)."""
        return Independent(Normal(self.loc, self.scale, validate_args=False), 1, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[x], [..., D], from 256 draws that are always the same."""
        generator = torch.Generator().manual_seed(0)
        half = torch.randn((DRAWS_OF_MEAN // 2, *self.event_shape), generator=generator, dtype=torch.float64)
        noise = torch.cat([half, -half]).to(self.loc)
        noise = noise.view(DRAWS_OF_MEAN, *(1 for _ in self.batch_shape), -1)
        # One at a time: 256 copies of a batch would not fit the memory that a batch was cut to.
        total = torch.zeros_like(self.loc)
        for eps in noise:
            total = total + self.push(eps)[0]
        return total / DRAWS_OF_MEAN

    def push(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normal noise [K, ..., D] -> x and log |det dx/dnoise|."""
        x, log_det = self.transform.call_and_ladj(self._whole(self.loc + self.scale * noise))  # type: ignore[attr-defined]
        return x, log_det + self.scale.log().sum(-1)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """T(mu + sigma * noise)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.push(torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device))[0]

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, summed over the event."""
        u, log_det = self.transform.inv.call_and_ladj(self._whole(value))  # type: ignore[union-attr]
        return self.base().log_prob(u) + log_det

    def _whole(self, value: Tensor) -> Tensor:
        """Expand to the batch: the transform's context does not broadcast over an axis of length 1."""
        return value.expand(torch.broadcast_shapes(value.shape, self.loc.shape))

    def detached(self) -> FlowedNormal:
        """The same law with mu, sigma and T held constant."""
        return FlowedNormal(self.loc.detach(), self.scale.detach(), self._held(), self._held)
