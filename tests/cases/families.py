"""One row for each family of posteriors: how to build it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from minamo.families import Diagonal, Family, Flow, FullCovariance


class Case(NamedTuple):
    name: str
    build: Callable[[int], Family]
    gaussian: bool


FAMILIES = [
    Case("diagonal", Diagonal, True),
    Case("full-covariance", FullCovariance, True),
    Case("flow", Flow, False),
    Case("flow with context", lambda latent_dim: Flow(latent_dim, context=3), False),
]


def built(case: Case, latent_dim: int) -> Family:
    """The family in float64; a flow's nets are given weights that bend."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        family = case.build(latent_dim).double()
        with torch.no_grad():
            for p in family.parameters():
                p.copy_(0.4 * torch.randn_like(p))
    return family


def members(family: Family, n: int, seed: int = 0) -> Tensor:
    """Parameters [n, P] of some members."""
    generator = torch.Generator().manual_seed(seed)
    return family.from_net(0.7 * torch.randn(n, family.n_params, generator=generator, dtype=torch.float64))
