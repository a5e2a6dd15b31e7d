"""Independent values in [0, 1] with an exponential density, given by logits."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

SMALL = 0.3
"""Below it the normalizer is a series, whose first omitted term is under 1e-16."""


class ContinuousBernoulli(Distribution):
    """log p(x) = sum_j x_j l_j - log((e^l_j - 1) / l_j) on [0, 1]^D, event shape [D].

    The Bernoulli formula x l - log(1 + e^l) is no density of values between 0 and 1; divided by its integral it is this
    one. "The continuous Bernoulli: fixing a pervasive error in variational autoencoders" (Loaiza-Ganem, Cunningham,
    2019). torch's ContinuousBernoulli takes logits too, but computes with probabilities, which float32 rounds to 1 from
    logits of 17 on.

    Args:
        logits: l, [..., D]; 0 makes the density uniform.

    >>> law = ContinuousBernoulli(torch.tensor([0.0]))
    >>> float(law.log_prob(torch.tensor([0.3]))), round(float(law.mean), 6)
    (0.0, 0.5)
    """

    arg_constraints: ClassVar = {}  # pyright: ignore
    support: ClassVar = constraints.independent(constraints.unit_interval, 1)  # pyright: ignore

    def __init__(self, logits: Tensor):
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """1 / (1 - e^-l) - 1 / l, [..., D]."""
        near, t = self._parts()
        series = 0.5 + t / 12 - t**3 / 720 + t**5 / 30240 - t**7 / 1209600
        far = torch.where(near, 1.0, t)
        return torch.where(near, series, -1 / torch.expm1(-far) - 1 / far)

    @property
    def variance(self) -> Tensor:
        """1 / l^2 - 1 / (4 sinh(l / 2)^2), [..., D]."""
        near, t = self._parts()
        series = 1 / 12 - t**2 / 240 + t**4 / 6048 - t**6 / 172800
        far = torch.where(near, 1.0, t).abs()
        return torch.where(near, series, far**-2 - torch.exp(-far) / torch.expm1(-far) ** 2)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """The inverse of the distribution function at uniform numbers."""
        with torch.no_grad():
            shape = self._extended_shape(torch.Size(sample_shape))
            u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
            a = self.logits.abs().clamp_min(1e-4)
            # For l > 0, 1 - x of l is x of -l: e^-a alone is computed, never e^a.
            x = -torch.log1p(u * torch.expm1(-a)) / a
            x = torch.where(self.logits > 0, 1 - x, x)
            return torch.where(self.logits.abs() < 1e-4, u, x).clamp(0, 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, summed over the event."""
        near, t = self._parts()
        # log((e^l - 1) / l) = l / 2 + log(sinh(l / 2) / (l / 2)), the second part even in l.
        series = t**2 / 24 - t**4 / 2880 + t**6 / 181440 - t**8 / 9676800
        far = torch.where(near, 1.0, t).abs()
        even = torch.where(near, series, 0.5 * far + torch.log(-torch.expm1(-far) / far))
        return ((value - 0.5) * t - even).sum(-1)

    def _parts(self) -> tuple[Tensor, Tensor]:
        """Where the series holds, and l."""
        return self.logits.abs() < SMALL, self.logits
