"""One row for each likelihood: how to build it, its data, and a value that has no probability."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from minamo.likelihoods import (
    Bernoulli,
    BetaBinomial,
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

    @property
    def discrete(self) -> bool:
        return isinstance(self.values, Tensor)


def upto(n: int) -> Tensor:
    return torch.arange(n + 1, dtype=torch.float64)


LIKELIHOODS = [
    Case("bernoulli", Bernoulli, upto(1), 0.5),
    Case("normal, sigma 1", lambda net: Normal(net, scale=1.0), LINE, NAN),
    Case("normal, sigma 0.1", lambda net: Normal(net, scale=0.1), LINE, NAN),
    Case("normal, shared", lambda net: Normal(net, scale="shared"), LINE, NAN),
    Case("normal, analytic", lambda net: Normal(net, scale="analytic"), LINE, NAN),
    Case("normal-by-feature", NormalByFeature, LINE, NAN),
    Case("heteroscedastic-normal", HeteroscedasticNormal, LINE, NAN, 2),
    Case("laplace", Laplace, LINE, NAN),
    Case("student-t", StudentT, LINE, NAN),
    Case("continuous-bernoulli", ContinuousBernoulli, (0.0, 1.0), 1.1),
    Case("logistic, one", lambda net: Logistic(net, mixed=1), upto(255) / 255, 0.5, 3),
    Case("logistic", Logistic, upto(255) / 255, 0.5, 15),
    Case("categorical", lambda net: Categorical(net, 4), upto(3), 1.5, 4),
    Case("poisson", Poisson, upto(200), 1.5),
    Case("negative-binomial", NegativeBinomial, upto(4000), -1.0),
    Case("zero-inflated-poisson", ZeroInflatedPoisson, upto(200), 1.5, 2),
    Case("zero-inflated-negative-binomial", ZeroInflatedNegativeBinomial, upto(4000), -1.0, 2),
    Case("beta-binomial", lambda net: BetaBinomial(net, 12), upto(12), 13.0, 2),
]


def decoder(latent_dim: int, n_outputs: int) -> Mlp:
    """A small net with fixed weights, float64."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Mlp(latent_dim, n_outputs, hidden=(5,)).double()


def built(case: Case, n_columns: int) -> Likelihood:
    """Two latents, float64."""
    return case.build(decoder(2, n_columns * case.per_column)).double()
