"""ELBO surgery: what the KL of an average datum is spent on."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from minamo.batch import Source
from minamo.evidence.judged import NUMBERS_AT_ONCE
from minamo.model import LatentVariableModel

INFORMATION_ROWS = 1000
"""Rows between which `surgery` tells: it compares every one with every other."""


class Surgery(NamedTuple):
    """A term for each row, [N], nats, from one draw z ~ q(z|x_n); for every row rate = information + marginal."""

    rate: Tensor
    """log q(z|x_n) - log p(z): its mean is the rate, J2 = E_n KL(q(z|x_n) || p(z))."""
    information: Tensor
    """log q(z|x_n) - log q(z): its mean is I(n; z), between a row's number and its latent; at most log N."""
    marginal: Tensor
    """log q(z) - log p(z): its mean is KL(q(z) || p(z)), of the aggregated posterior q(z) = (1/N) sum_m q(z|x_m)."""


@torch.no_grad()
def surgery(model: LatentVariableModel, source: Source) -> Surgery:
    """Split the KL into index-code mutual information and marginal KL, on the first 1000 rows.

    E_n KL(q(z|x_n) || p(z)) = I(n; z) + KL(q(z) || p(z)). Information at its ceiling log N says that a latent tells
    every row from every other; a large marginal KL that samples from the prior are not what the decoder has learned
    from. Hand over rows from all over the data. "ELBO surgery: yet another way to carve up the variational evidence
    lower bound" (Hoffman, Johnson, 2016).

    Args:
        model: draws come from torch's generator in force (see `randomness.drawing_from`).
        source: the rows.
    """
    batch = next(iter(source.batches(INFORMATION_ROWS)))
    q, p = model.infer(batch), model.prior()
    z = q.sample()
    n = len(z)
    at_once = max(1, NUMBERS_AT_ONCE // z.numel())
    own, mixed = z.new_empty(2, n, dtype=torch.float64)
    for rows in torch.arange(n, device=z.device).split(at_once):
        log_q = q.log_prob(z[rows][:, None])
        own[rows] = log_q.gather(1, rows[:, None])[:, 0].double()
        mixed[rows] = (torch.logsumexp(log_q, 1) - math.log(n)).double()
    log_pz = p.log_prob(z).double()
    return Surgery(*(term.cpu() for term in (own - log_pz, own - mixed, mixed - log_pz)))


def mutual_information(model: LatentVariableModel, source: Source) -> Tensor:
    """I(n; z) = E[log q(z|x_n) - log q(z)], a term for each row, [N], nats: see `surgery`."""
    return surgery(model, source).information
