"""What judges an epoch: of every watched row, the number that training maximizes. What is reported stays the bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from minamo.evidence import PerDatum


class Judge(NamedTuple):
    """What the watched rows are asked; densities in data units, the KL with its full weight."""

    of: Callable[[PerDatum], Tensor]
    """One number for every row, [N], nats, higher is better; their mean is the objective of all rows together."""
    k: int = 1
    """Draws of z for each row."""
    word: str = "objective"
    """What the log calls it."""


ELBO = Judge(lambda rows: rows.elbo, word="elbo")


def of_iwae(k: int) -> Judge:
    """IWAE-k: a model trained for the bound of k draws is judged by the bound of k draws."""
    return Judge(lambda rows: rows.iwae, k)


def of_beta(weight: float) -> Judge:
    """J1 - weight * J2."""
    return Judge(lambda rows: rows.reconstruction - weight * rows.kl)


def of_free_bits(nats: float) -> Judge:
    """J1 - sum_j max(nats, KL_j), KL_j averaged over the rows: a latent above pays what it spends, row by row."""

    def of(rows: PerDatum) -> Tensor:
        parts = rows.kl_per_latent
        lacking = (nats - parts) * (parts.mean(0) < nats)
        return rows.elbo - lacking.sum(-1)

    return Judge(of)


def of_capacity(nats: float, strength: float) -> Judge:
    """J1 - strength * |J2 - nats|, J2 averaged over the rows.

    Each row has the tangent of the absolute value at the mean, evaluated at its own KL: the mean stays what it is, and
    the spread over rows has in it the sampling error of J2, which all of them share.
    """

    def of(rows: PerDatum) -> Tensor:
        off = rows.kl.mean() - nats
        return rows.reconstruction - strength * (off.abs() + off.sign() * (rows.kl - rows.kl.mean()))

    return Judge(of)
