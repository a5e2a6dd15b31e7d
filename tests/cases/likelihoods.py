"""One row for each likelihood: how to build it, and its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from minamo.likelihoods import Bernoulli, Likelihood, Normal
from minamo.nets import Mlp


class Case(NamedTuple):
    name: str
    build: Callable[[Mlp], Likelihood]
    discrete: bool
    outside: float
    """A value with no probability."""


LIKELIHOODS = [
    Case("bernoulli", Bernoulli, True, 0.5),
    Case("normal, sigma 1", lambda net: Normal(net, scale=1.0), False, float("nan")),
    Case("normal, sigma 0.1", lambda net: Normal(net, scale=0.1), False, float("nan")),
    Case("normal, shared", lambda net: Normal(net, scale="shared"), False, float("nan")),
    Case("normal, analytic", lambda net: Normal(net, scale="analytic"), False, float("nan")),
]


def decoder(latent_dim: int, n_columns: int) -> Mlp:
    """A small net with fixed weights, float64."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Mlp(latent_dim, n_columns, hidden=(5,)).double()
