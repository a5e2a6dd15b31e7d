"""Counts with more zeros than their law explains."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional


class ZeroInflated(Distribution):
    """P(x_j) = g_j [x_j = 0] + (1 - g_j) base(x_j), event shape [D].

    Args:
        base: a law of counts, batch shape [..., D].
        logits: of g, [..., D].
    """

    arg_constraints: ClassVar = {}  # pyright: ignore
    support: ClassVar = constraints.independent(constraints.nonnegative_integer, 1)  # pyright: ignore

    def __init__(self, base: Distribution, logits: Tensor):
        self.base, self.logits = base, logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(1 - g) E[base], [..., D]."""
        return torch.sigmoid(-self.logits) * self.base.mean

    @property
    def variance(self) -> Tensor:
        """(1 - g) (Var + g E^2), [..., D]."""
        kept = torch.sigmoid(-self.logits)
        return kept * (self.base.variance + (1 - kept) * self.base.mean**2)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """A draw of the base, or 0."""
        with torch.no_grad():
            x = self.base.sample(torch.Size(sample_shape))
            return x * torch.bernoulli(torch.sigmoid(-self.logits).expand(x.shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, summed over the event."""
        counted = functional.logsigmoid(-self.logits) + self.base.log_prob(value)
        # Not a where around logaddexp: its gradient with -inf would be NaN.
        at_zero = torch.logaddexp(functional.logsigmoid(self.logits), counted)
        return torch.where(value == 0, at_zero, counted).sum(-1)
