"""Hamiltonian Monte Carlo between two densities of z, for many chains of many rows at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from minamo.batch import LogJoint

TARGET = 0.65
"""Share of proposals that should be accepted: "Optimal tuning of the hybrid Monte Carlo algorithm" (Beskos et al.,
2013)."""
JITTER = 0.3
"""Step sizes vary by up to this share from one trajectory to the next, so that none is a whole period."""
REACH = 2.0
"""Longest trajectory, step size times leapfrogs, in standard deviations of r: a third of a period of N(0, 1)."""
EXTRA = 2
"""Numbers of a proposal's noise beside those of the momentum: for the jitter and for the decision."""


class Path(NamedTuple):
    """log f_beta(z) = (1 - beta) log r(z) + beta log p(x, z), for the rows of one batch."""

    log_joint: LogJoint
    """log p(x, z), [C, B]."""
    start: Distribution
    """r(z), normalized; batch shape [B] or []."""
    scale: Tensor
    """Standard deviations of r, [B, latent_dim] or [latent_dim]: the unit of a step in each latent."""


class Point(NamedTuple):
    """Where C chains of B rows stand, and what the two ends of the path are there; nats."""

    z: Tensor
    """[C, B, latent_dim]."""
    log_p: Tensor
    """log p(x, z), [C, B]."""
    log_r: Tensor
    """log r(z), [C, B]."""
    slope_p: Tensor
    """d log p(x, z) / dz, [C, B, latent_dim]."""
    slope_r: Tensor
    """d log r(z) / dz, [C, B, latent_dim]."""

    def log_f(self, beta: float) -> Tensor:
        """log f_beta, [C, B]."""
        return (1 - beta) * self.log_r + beta * self.log_p

    def slope(self, beta: float) -> Tensor:
        """d log f_beta / dz, [C, B, latent_dim]."""
        return (1 - beta) * self.slope_r + beta * self.slope_p


def at(path: Path, z: Tensor) -> Point:
    """Evaluate both ends of the path at z [C, B, latent_dim]; their gradients serve every beta."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        log_p, log_r = path.log_joint(z), path.start.log_prob(z)
        (slope_p,) = torch.autograd.grad(log_p.sum(), z)
        (slope_r,) = torch.autograd.grad(log_r.sum(), z)
    return Point(z.detach(), log_p.detach(), log_r.detach(), slope_p, slope_r)


def transition(
    path: Path, here: Point, beta: float, step: Tensor, noise: Tensor, leapfrogs: int
) -> tuple[Point, Tensor]:
    """Make one step of every chain that leaves f_beta invariant, and is reversible with respect to it.

    A new momentum, `leapfrogs` leapfrog steps, acceptance or rejection. "MCMC using Hamiltonian dynamics" (Neal, 2011).

    Args:
        path: the densities.
        here: where the chains stand.
        beta: in [0, 1].
        step: sizes, [B], in units of `path.scale`; they must not depend on the chains that take them.
        noise: standard normal [C, B, latent_dim + 2].
        leapfrogs: gradients of log p(x, z) that this costs.

    Returns:
        Where the chains stand then, and the probability with which each proposal was accepted, [C, B].
    """
    momentum, u = noise[..., :-EXTRA], torch.special.ndtr(noise[..., -EXTRA:])
    stride = (step * (1 - JITTER + 2 * JITTER * u[..., 0]))[..., None].to(here.z.dtype) * path.scale
    there, p = here, momentum
    for _ in range(leapfrogs):
        p = p + 0.5 * stride * there.slope(beta)
        there = at(path, there.z + stride * p)
        p = p + 0.5 * stride * there.slope(beta)
    gain = there.log_f(beta) - here.log_f(beta) - 0.5 * (p.square().sum(-1) - momentum.square().sum(-1))
    # A trajectory that ran away ends in NaN or infinity, and is rejected.
    chance = torch.nan_to_num(gain, nan=-math.inf, posinf=-math.inf).clamp_max(0).exp()
    accepted = u[..., 1] < chance
    moved = (
        torch.where(accepted if a.dim() == 2 else accepted[..., None], b, a) for a, b in zip(here, there, strict=True)
    )
    return Point(*moved), chance
