"""Counts of n trials whose probability varies."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Beta, Binomial, Distribution, constraints


class BetaBinomial(Distribution):
    """x ~ Binomial(n, p), p ~ Beta(a, b): P(x) = C(n, x) B(x + a, n - x + b) / B(a, b), batch shape [..., D].

    Args:
        n: trials, a positive whole number.
        a, b: positive, [..., D].
    """

    arg_constraints: ClassVar = {}  # pyright: ignore

    def __init__(self, n: int, a: Tensor, b: Tensor):
        self.n, self.a, self.b = n, a, b
        super().__init__(a.shape, validate_args=False)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:  # pyright: ignore
        """0 to n."""
        return constraints.integer_interval(0, self.n)  # pyright: ignore

    @property
    def mean(self) -> Tensor:
        """n a / (a + b)."""
        return self.n * self.a / (self.a + self.b)

    @property
    def variance(self) -> Tensor:
        """n a b (a + b + n) / ((a + b)^2 (a + b + 1))."""
        s = self.a + self.b
        return self.n * self.a * self.b * (s + self.n) / (s**2 * (s + 1))

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """A probability, then a count."""
        with torch.no_grad():
            p = Beta(self.a, self.b, validate_args=False).sample(torch.Size(sample_shape))
            return Binomial(self.n, p, validate_args=False).sample()

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, [..., D]."""
        rest = self.n - value
        ways = math.lgamma(self.n + 1.0) - torch.lgamma(value + 1)
        ways = ways - torch.lgamma(rest + 1)
        return ways + _log_beta(value + self.a, rest + self.b) - _log_beta(self.a, self.b)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
