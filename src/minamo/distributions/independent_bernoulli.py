"""Independent bits, given by their logits."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints


class IndependentBernoulli(Distribution):
    """log p(x) = sum_j x_j l_j - log(1 + e^l_j), event shape [D].

    The same law as `Independent(Bernoulli(logits=l), 1)`, in fewer passes over the logits: for images they are most of
    what is left of a training step beside its matrix products.

    Args:
        logits: l, [..., D].

    >>> law = IndependentBernoulli(torch.tensor([0.0, 100.0]))
    >>> round(float(law.log_prob(torch.tensor([1.0, 1.0]))), 6)   # -log 2
    -0.693147
    """

    arg_constraints: ClassVar = {}  # pyright: ignore
    support: ClassVar = constraints.independent(constraints.boolean, 1)  # pyright: ignore

    def __init__(self, logits: Tensor):
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """P(x_j = 1), [..., D]."""
        return torch.sigmoid(self.logits)

    @property
    def variance(self) -> Tensor:
        """p (1 - p), [..., D]."""
        return self.mean * (1 - self.mean)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """0/1, in the dtype of the logits."""
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(self._extended_shape(torch.Size(sample_shape))))

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, summed over the event."""
        found: Tensor = _LogProb.apply(*torch.broadcast_tensors(self.logits, value))  # type: ignore[assignment]
        return found


class _LogProb(torch.autograd.Function):
    """One exponential for the value and the gradient, x - sigmoid(l).

    e^-|l| is at most 1, so log(1 + e^-|l|) is off by half a unit in the last place of 1 at most, as log1p is where it
    matters, and cheaper where code is compiled.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        e = torch.exp(-logits.abs())
        return (x * logits - logits.clamp_min(0) - torch.log(1 + e)).sum(-1)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        logits, x = ctx.saved_tensors
        e = torch.exp(-logits.abs())
        return slopes[0][..., None] * (x - torch.where(logits >= 0, 1.0, e) / (1 + e)), None
