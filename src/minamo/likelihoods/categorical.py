"""Codes 0, ..., C - 1 without an order."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical as Law
from torch.distributions import Distribution, constraints
from torch.nn import functional

from minamo.likelihoods.base import Likelihood
from minamo.nets import Net


class Categorical(Likelihood):
    """P(x_j = c | z) = softmax_c(net(z)), C classes in every column.

    Args:
        net: maps z [..., latent_dim] to C logits for every column.
        classes: C.
    """

    name = "categorical"
    per_column = 0  # as many as there are classes
    support = constraints.nonnegative_integer

    def __init__(self, net: Net, classes: int):
        super().__init__(net)
        self.per_column = classes
        self.support = constraints.integer_interval(0, classes - 1)  # pyright: ignore
        self.measure = f"counting measure on {{0, ..., {classes - 1}}}"

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        return _Codes(torch.stack(self.parts(z), -1))


class _Codes(Distribution):
    """Independent Categorical laws; torch's have no mean, since codes have none: this one's is that of the numbers."""

    arg_constraints = {}  # noqa: RUF012  # pyright: ignore

    def __init__(self, logits: Tensor):
        self.logits = logits
        super().__init__(logits.shape[:-2], logits.shape[-2:-1], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.logits.softmax(-1) @ self._codes

    @property
    def variance(self) -> Tensor:
        return self.logits.softmax(-1) @ self._codes**2 - self.mean**2

    @property
    def _codes(self) -> Tensor:
        return torch.arange(self.logits.shape[-1], dtype=self.logits.dtype, device=self.logits.device)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        law = Law(logits=self.logits, validate_args=False)
        return law.sample(torch.Size(sample_shape)).to(self.logits.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        logits = functional.log_softmax(self.logits, -1)
        shape = torch.broadcast_shapes(value.shape, logits.shape[:-1])
        codes = value.long().expand(shape)[..., None]
        return logits.expand(*shape, logits.shape[-1]).gather(-1, codes)[..., 0].sum(-1)
