"""N(loc, sigma^2 I) with one sigma for all columns."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints


class IsotropicNormal(Distribution):
    """log p(x) = -|x - loc|^2 / (2 sigma^2) - D log sigma - (D/2) log 2 pi, event shape [D].

    The same law as `Independent(Normal(loc, sigma), 1)`, which would spread sigma over every cell and take its
    logarithm there: for images that is most of the work of a log-density.

    Args:
        loc: [..., D].
        scale: sigma, a positive scalar tensor.

    >>> law = IsotropicNormal(torch.zeros(2), torch.tensor(1.0))
    >>> round(float(law.log_prob(torch.zeros(2))), 6)   # -log 2 pi
    -1.837877
    """

    arg_constraints: ClassVar = {}  # pyright: ignore
    support: ClassVar = constraints.real_vector  # pyright: ignore
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor):
        self.loc = loc
        self.scale = scale
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """sigma^2 in every cell."""
        return (self.scale**2).expand_as(self.loc)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """loc + sigma * noise."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.loc + self.scale * torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, summed over the event."""
        squared = (value - self.loc).square().sum(-1)
        n = self.loc.shape[-1]
        return -0.5 * squared / self.scale**2 - n * (self.scale.log() + 0.5 * math.log(2 * math.pi))
