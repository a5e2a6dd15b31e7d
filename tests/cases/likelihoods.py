"""One row for each likelihood: how to build it, its data, and a value that has no probability."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from minamo.likelihoods import (
    Bernoulli,
    BetaBinomial,
    Binomial,
    Categorical,
    ContinuousBernoulli,
    HeteroscedasticNormal,
    Laplace,
    Likelihood,
    Logistic,
    NegativeBinomial,
    Normal,
    NormalByFeature,
    Poisson,
    StudentT,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from minamo.nets import Mlp, Net

NAN = float("nan")
LINE = (-torch.inf, torch.inf)


class Case(NamedTuple):
    name: str
    build: Callable[[Net], Likelihood]
    values: tuple[float, float] | Tensor
    """The ends of an interval, or all values (of counts, so many that the rest has no probability to speak of)."""
    outside: float
    """A value with no probability."""
    per_column: int = 1
    data: Callable[[Tensor], Tensor] = lambda line: line
    """What it is for, made of numbers around 0 that follow some latents."""

    @property
    def discrete(self) -> bool:
        return isinstance(self.values, Tensor)


def upto(n: int) -> Tensor:
    return torch.arange(n + 1, dtype=torch.float64)


def rate(line: Tensor) -> Tensor:
    return torch.exp(0.7 * line + 2)


def poisson(line: Tensor) -> Tensor:
    return torch.poisson(rate(line)).long()


def overdispersed(line: Tensor) -> Tensor:
    """With r = 10: a gamma of shape 10 is a sum of ten exponentials."""
    gamma = -torch.rand(10, *line.shape, dtype=line.dtype).log().sum(0) / 10
    return torch.poisson(rate(line) * gamma).long()


def thinned(line: Tensor) -> Tensor:
    return poisson(line) * (torch.rand(line.shape) < 0.7)


def share(n: int) -> Callable[[Tensor], Tensor]:
    return lambda line: (torch.rand(n, *line.shape) < line.sigmoid()).sum(0)


LIKELIHOODS = [
    Case("bernoulli", Bernoulli, upto(1), 0.5, data=lambda line: (line > 0).double()),
    Case("normal", Normal, LINE, NAN),
    Case("normal, sigma 1", lambda net: Normal(net, scale=1.0), LINE, NAN),
    Case("normal, sigma 0.1", lambda net: Normal(net, scale=0.1), LINE, NAN),
    Case("normal, analytic", lambda net: Normal(net, scale="analytic"), LINE, NAN),
    Case("normal-by-feature", NormalByFeature, LINE, NAN),
    Case("heteroscedastic-normal", HeteroscedasticNormal, LINE, NAN, 2),
    Case("laplace", Laplace, LINE, NAN),
    Case("student-t", StudentT, LINE, NAN),
    Case("continuous-bernoulli", ContinuousBernoulli, (0.0, 1.0), 1.1, data=lambda line: (3 * line).sigmoid()),
    Case("logistic, one", lambda net: Logistic(net, mixed=1), upto(255) / 255, 0.5, 3),
    Case("logistic", Logistic, upto(255) / 255, 0.5, 15, lambda line: (255 * line.sigmoid()).byte()),
    Case(
        "categorical",
        lambda net: Categorical(net, 4),
        upto(3),
        1.5,
        4,
        lambda line: (line + 2).round().clamp(0, 4).long(),
    ),
    Case("poisson", Poisson, upto(200), 1.5, data=poisson),
    Case("negative-binomial", NegativeBinomial, upto(4000), -1.0, data=overdispersed),
    Case("zero-inflated-poisson", ZeroInflatedPoisson, upto(200), 1.5, 2, thinned),
    Case("zero-inflated-negative-binomial", ZeroInflatedNegativeBinomial, upto(4000), -1.0, 2, thinned),
    Case("binomial", lambda net: Binomial(net, 12), upto(12), 13.0, data=share(10)),
    Case("beta-binomial", lambda net: BetaBinomial(net, 12), upto(12), 13.0, 2, share(10)),
]


def decoder(latent_dim: int, n_outputs: int) -> Mlp:
    """A small net with fixed weights, float64."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Mlp(latent_dim, n_outputs, hidden=(5,)).double()


def built(case: Case, n_columns: int) -> Likelihood:
    """Two latents, float64."""
    return case.build(decoder(2, n_columns * case.per_column)).double()
