"""A mixture of diagonal Gaussians."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints


class GaussianMixture(Distribution):
    """log p(z) = log sum_c pi_c N(z; mu_c, diag sigma_c^2), batch shape (), event shape [D].

    The same law as torch's MixtureSameFamily, whose density would hold a number for every draw, component and column.
    Here -|(z - mu) / sigma|^2 / 2 is multiplied out, so that all components cost one matrix product. Its terms are
    large and cancel: with sigma = 0.01 and mu = 3 a thousandth of a nat would be lost in float32, and all in bf16. The
    product is done in float64, whatever the dtype of z.

    Args:
        logits: log pi up to a constant, [C].
        loc: mu, [C, D].
        scale: sigma, [C, D].

    >>> two = GaussianMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
    >>> round(float(two.log_prob(torch.zeros(1))), 6)   # both give -log(2 pi) / 2 - 1/2
    -1.418939
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}  # type: ignore[assignment]
    support: ClassVar = constraints.real_vector  # pyright: ignore

    def __init__(self, logits: Tensor, loc: Tensor, scale: Tensor):
        self.logits = logits
        self.loc = loc
        self.scale = scale
        super().__init__(torch.Size(), loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[z], [D]."""
        return self.logits.softmax(0) @ self.loc

    @property
    def variance(self) -> Tensor:
        """Within components and between them, [D]."""
        return self.logits.softmax(0) @ (self.scale**2 + (self.loc - self.mean) ** 2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, summed over the event: [..., D] -> [...]."""
        z = value.flatten(0, -2).double() if value.dim() > 1 else value[None].double()
        factors, constant = self._expanded
        exponents = torch.addmm(constant, torch.cat([z * z, z], 1), factors.t())
        return torch.logsumexp(exponents, 1).to(value.dtype).view(value.shape[:-1])

    @property
    def _expanded(self) -> tuple[Tensor, Tensor]:
        """[C, 2 D] by which z^2 and z are multiplied, and [C] to be added."""
        loc, precision = self.loc.double(), self.scale.double() ** -2
        factors = torch.cat([-0.5 * precision, loc * precision], 1)
        normalizer = 0.5 * precision.log().sum(1) - 0.5 * self.loc.shape[1] * math.log(2 * math.pi)
        return factors, self.logits.double().log_softmax(0) + normalizer - 0.5 * (loc * loc * precision).sum(1)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """A component drawn by weight, and a draw of it."""
        shape = torch.Size(sample_shape)
        with torch.no_grad():
            c = torch.multinomial(self.logits.softmax(0), shape.numel(), replacement=True)
            z = self.loc[c] + self.scale[c] * torch.randn_like(self.loc[c])
        return z.view(self._extended_shape(shape))
