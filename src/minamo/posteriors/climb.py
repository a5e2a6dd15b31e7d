"""Making q(z|x) better for one datum at a time: natural-gradient steps on its ELBO, the model held fixed."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from minamo.batch import LogJoint
from minamo.distributions import push
from minamo.families import Diagonal, Family, FullCovariance, Move
from minamo.families.base import inner
from minamo.randomness import stream

DRAWS = 16
"""Draws of z for each row that are decoded at one time."""
REACH = 0.5
"""No step moves mu by more than this many sigma, nor log sigma by more than this: far from the summit, where
the curvature is not that of the noise, the natural gradient would leap over it..."""
FITS = 0.1
"""...save where log sigma is closer to its optimum than this, by the same gradient: there mu may go further."""
RATE = 1.0
"""Step size at the beginning of the first round of `to_the_top`."""
ROUND = 30
"""Steps between two looks at the gradient, in `to_the_top`."""
ROUNDS = 8
COSINE = tuple(0.02 + 0.49 * (1 + math.cos(math.pi * i / ROUND)) for i in range(ROUND))
"""How the steps of a round fall, from 1 to 0.02."""
LEFT = 0.02
"""Nats: a datum is at the top when the gradient promises less."""
JUDGES = 32
"""Directions, at least, in each of the two sets of draws from which that promise is estimated."""


class Summit(NamedTuple):
    """Where the search ended, for each row."""

    params: Tensor
    """[B, P]."""
    steps: Tensor
    """[B], gradient steps taken."""
    left: Tensor
    """[B], nats that the gradient still promises; an unbiased estimate, so it may be negative."""


def climb(
    family: Family, params: Tensor, log_joint: LogJoint, rates: list[float] | list[Tensor], noise: list[Tensor]
) -> Tensor:
    """Take natural-gradient steps on each row's ELBO and return the parameters [B, P], out of the graph.

    Args:
        family: of q.
        params: where to begin, [B, P].
        log_joint: of the rows.
        rates: step sizes, for all rows or [B]; 1 would be a Newton step near the top, if the gradient had no noise.
        noise: of each step, [K, 1 or B, latent_dim]; see `antithetic`.
    """
    for rate, eps in zip(rates, noise, strict=True):
        params = _step(family, params, log_joint, rate, eps)
    return params


def to_the_top(family: Family, params: Tensor, log_joint: LogJoint) -> Summit:
    """Climb until the gradient promises less than 0.02 nats, row by row.

    Steps come in rounds of 30 whose size falls along a cosine. After each the improvement that is left, half the
    squared natural gradient, is estimated from two independent sets of draws. A row that is done stays where it is; one
    that a round did not bring half of the way goes on with steps of half the size. All rows share their noise, which
    is always the same, so a row's answer depends neither on the rows beside it nor on the order of calls.

    Args:
        family: of q.
        params: where to begin, [B, P].
        log_joint: of the rows.
    """
    generator = stream(0, "to_the_top")
    params = params.detach().clone()
    steps = torch.zeros(len(params), dtype=torch.int64, device=params.device)
    left = params.new_full((len(params),), math.inf)
    largest = torch.full_like(left, RATE)
    one, other = orthogonal(family.latent_dim, params.dtype, generator)
    judges = one.to(params.device), other.to(params.device)
    going = torch.arange(len(params), device=params.device)
    for _ in range(ROUNDS):
        noise = [antithetic(DRAWS, 1, family.latent_dim, params, generator) for _ in range(ROUND)]
        if len(going):
            here = of_rows(log_joint, going)
            reached = climb(family, params[going], here, [largest[going] * c for c in COSINE], noise)
            promised = promise(family, reached, here, judges)
            largest[going] = torch.where(promised > 0.5 * left[going], 0.5, 1.0) * largest[going]
            params[going], left[going] = reached, promised
            steps[going] += ROUND
            # Far below 0 it is as little a promise of nothing: the estimate itself is not there yet.
            going = going[promised.abs() > LEFT]
    return Summit(params, steps, left)


def best(family: Family, start: Tensor, log_joint: LogJoint) -> Summit:
    """Climb to the top from somewhere near it, by a second way for rows that the first leaves short of it.

    Args:
        family: of q.
        start: [B, P].
        log_joint: of the rows.
    """
    summit = to_the_top(family, start, log_joint)
    short = torch.nonzero(summit.left > LEFT)[:, 0]
    if not (isinstance(family, Diagonal) and len(short)):
        return summit
    full = FullCovariance(family.latent_dim)
    again = _by_the_full(family, full.from_diagonal(start[short]), of_rows(log_joint, short))
    better = again.left.abs() < summit.left[short]
    params, steps, left = summit
    params[short] = torch.where(better[:, None], again.params, params[short])
    left[short] = torch.where(better, again.left, left[short])
    steps[short] += again.steps
    return Summit(params, steps, left)


def from_nothing(family: Family, n: int, log_joint: LogJoint, like: Tensor) -> Summit:
    """Climb to the top from the family's origin, for n rows, in the type of `like` and where it lies."""
    if not isinstance(family, Diagonal):
        return to_the_top(family, family.origin().to(like).expand(n, -1), log_joint)
    full = FullCovariance(family.latent_dim)
    return _by_the_full(family, full.origin().to(like).expand(n, -1), log_joint)


def _by_the_full(family: Diagonal, start: Tensor, log_joint: LogJoint) -> Summit:
    """Find the best diagonal by way of the best full covariance, from parameters of that family.

    Towards a narrow and correlated posterior a diagonal q would lose its width, and with it its stride, long before it
    arrives. The stride of a full covariance follows the correlations, and the diagonal member nearest to where it
    arrives is known in closed form.
    """
    full = FullCovariance(family.latent_dim)
    first = to_the_top(full, start, log_joint)
    summit = to_the_top(family, family.nearest(full.to(start.dtype)(first.params)), log_joint)
    return summit._replace(steps=first.steps + summit.steps)


def of_rows(log_joint: LogJoint, rows: Tensor) -> LogJoint:
    """Return log p(x, z) of some rows [B'] of a batch."""
    chosen = rows

    def some(z: Tensor, rows: Tensor | None = None) -> Tensor:
        return log_joint(z, chosen if rows is None else chosen[rows])

    return some


def promise(family: Family, params: Tensor, log_joint: LogJoint, noise: tuple[Tensor, Tensor]) -> Tensor:
    """Half the squared natural gradient, [B]: the nats left below the best member of the family, close to it.

    Args:
        family: of q.
        params: [B, P].
        log_joint: of the rows.
        noise: two independent sets of draws, each [K, 1 or B, latent_dim].
    """
    one, other = (_direction(family, params, log_joint, draws) for draws in noise)
    return 0.5 * inner(one, other)


def antithetic(k: int, n: int, latent_dim: int, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw standard normal noise [k, n, latent_dim] in pairs eps, -eps: shift and spread then do not mix.

    It has the type of `like` and lies beside it, wherever the generator draws.
    """
    where = like.device if generator is None else generator.device
    half = torch.randn((k + 1) // 2, n, latent_dim, dtype=like.dtype, generator=generator, device=where).to(like.device)
    return torch.cat([half, -half])[:k]


def orthogonal(latent_dim: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw two sets of standard normal noise, each [K, 1, latent_dim], in which a linear gradient has next to no noise.

    Directions come in orthogonal bases, each with its opposite; lengths are those of independent normal draws.
    """
    bases = math.ceil(JUDGES / latent_dim)
    sets = []
    for _ in range(2):
        square = torch.randn(bases, latent_dim, latent_dim, dtype=torch.float64, generator=generator)
        directions = torch.linalg.qr(square)[0].reshape(-1, 1, latent_dim)
        lengths = torch.randn(directions.shape, dtype=torch.float64, generator=generator).norm(dim=-1, keepdim=True)
        half = (directions * lengths).to(dtype)
        sets.append(torch.cat([half, -half]))
    return sets[0], sets[1]


def _direction(family: Family, params: Tensor, log_joint: LogJoint, noise: Tensor) -> Move:
    """The natural gradient from any number of draws, a few at a time."""
    shift, spread = 0.0, 0.0
    for part in noise.split(DRAWS):
        move = family.direction(*_gradient(family, params, log_joint, part))
        share = len(part) / len(noise)
        shift, spread = shift + share * move.shift, spread + share * move.spread
    return Move(torch.as_tensor(shift), torch.as_tensor(spread))


def _step(family: Family, params: Tensor, log_joint: LogJoint, rate: float | Tensor, noise: Tensor) -> Tensor:
    rate = rate.reshape(-1, 1) if isinstance(rate, Tensor) else params.new_full((1, 1), rate)
    move = family.direction(*_gradient(family, params, log_joint, noise))
    # Where the width is right the curvature is that of the noise, and even a long step is a Newton step.
    misfit = move.spread.abs() if move.spread.dim() == 2 else move.spread.norm(dim=-1)
    reach = REACH * (FITS / misfit).clamp_min(1.0)
    shift = (rate * move.shift).clamp(-reach, reach)
    if move.spread.dim() == 2:
        spread = (rate * move.spread).clamp(-REACH, REACH)
    else:
        # K draws in pairs see K / 2 of D directions, each 2 D / K times too large: a full step would overshoot there.
        spread = rate[..., None] * min(1.0, len(noise) / (2 * family.latent_dim)) * move.spread
        size = spread.flatten(1).norm(dim=1)[:, None, None]
        spread = spread * (REACH / size.clamp_min(REACH))
    return family.moved(params.detach(), Move(shift, spread)).detach()


def _gradient(family: Family, params: Tensor, log_joint: LogJoint, noise: Tensor) -> tuple[Tensor, Tensor]:
    """d [log p(x, z) - log q(z)] / d noise at every draw, q's parameters held in log q; and the noise, [K, B, D].

    log q(z(eps)) = log N(eps; 0, I) - log |det dz/deps|: with it the gradient vanishes draw by draw at an exact q.
    """
    with torch.enable_grad():
        eps = noise.expand(-1, len(params), -1).detach().clone().requires_grad_()
        z, log_det = push(family(params.detach()), eps)
        value = (log_joint(z) + log_det).sum()
        (gradient,) = torch.autograd.grad(value, eps)
    eps = eps.detach()
    return gradient + eps, eps
