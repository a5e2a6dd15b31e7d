"""One row for each prior: how to build it around an encoder, and whether it is a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from minamo.families import Diagonal, FullCovariance
from minamo.nets import Mlp
from minamo.posteriors import Amortized
from minamo.priors import Autoregressive, Coupling, Mixture, Prior, StandardNormal, Vamp

COLUMNS = 4


class Case(NamedTuple):
    name: str
    build: Callable[[int], Prior]
    gaussians: int
    """How many make up the density; 0 where it is not a mixture of them."""


def encoder(latent_dim: int, full: bool = False) -> Amortized:
    """An affine encoder of COLUMNS columns."""
    family = FullCovariance(latent_dim) if full else Diagonal(latent_dim)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return Amortized(Mlp(COLUMNS, family.n_params, ()), family)


def vamp(latent_dim: int, *, full: bool = False, weighted: bool = False) -> Prior:
    """Five pseudo-inputs."""
    posterior = encoder(latent_dim, full).double()
    with torch.no_grad():
        for p in posterior.parameters():
            p.copy_(0.5 * torch.randn_like(p))
    return Vamp(latent_dim, posterior.at, COLUMNS, 5, weighted=weighted)


PRIORS = [
    Case("normal", StandardNormal, 1),
    Case("mixture", lambda d: Mixture(d, components=3), 3),
    Case("vamp", vamp, 5),
    Case("vamp, weighted", lambda d: vamp(d, weighted=True), 5),
    Case("vamp, full covariance", lambda d: vamp(d, full=True), 5),
    Case("coupling", Coupling, 0),
    Case("autoregressive", Autoregressive, 0),
]


def built(case: Case, latent_dim: int) -> Prior:
    """The prior in float64, with weights at which nothing is trivial."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        prior = case.build(latent_dim).double()
        with torch.no_grad():
            for p in prior.parameters():
                # Hidden layers of a flow are 128 wide: with larger weights its density is all spikes.
                p.copy_((0.6 if case.gaussians else 0.1) * torch.randn_like(p))
    return prior
