"""Bounds on log p(x), datum by datum."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from minamo.batch import Batch, Source
from minamo.distributions import kl_per_latent
from minamo.evidence.judged import NUMBERS_AT_ONCE, widest
from minamo.model import LatentVariableModel


class PerDatum(NamedTuple):
    """One value for every row, [N], nats, plus the posterior means; float64."""

    reconstruction: Tensor
    """J1 = E_q[log p(x|z)], the mean over the draws."""
    kl: Tensor
    """J2 = KL(q(z|x) || p(z))."""
    iwae: Tensor
    """log of the mean importance weight over the K draws, a tighter bound than the ELBO."""
    z_mean: Tensor
    """E_q[z], [N, latent_dim]."""

    kl_per_latent: Tensor
    """KL(q(z_j|x) || p(z_j)) of each latent alone, [N, latent_dim]; NaN where the family does not know it."""
    steps: Tensor
    """Gradient steps that q took, [N]; 0 where it took none."""

    @property
    def elbo(self) -> Tensor:
        """J1 - J2."""
        return self.reconstruction - self.kl


def rows_at_once(model: LatentVariableModel, k: int, n_columns: int) -> int:
    """How many rows to take together: inferred and decoded once, or weighed k times, they stay within the limit."""
    return max(1, NUMBERS_AT_ONCE // max(k, widest(model, n_columns) * model.posterior.draws))


def chunks(model: LatentVariableModel, k: int, batch: Batch) -> Iterator[slice]:
    """Split k draws for every row of `batch` into draws that are decoded at one time."""
    most = max(1, NUMBERS_AT_ONCE // (len(batch.x) * widest(model, batch.x.shape[1])))
    for start in range(0, k, most):
        yield slice(start, min(start + most, k))


@torch.no_grad()
def evaluate(model: LatentVariableModel, source: Source, k: int) -> PerDatum:
    """Evaluate J1, J2 and IWAE-K for every row, in order; densities are over the source's data units.

    Args:
        model: the model; draws come from torch's generator in force (see `randomness.drawing_from`).
        source: the rows.
        k: draws of z for each row; done in chunks, so memory does not grow with it.
    """
    n = len(source)
    # Allocated before the loop: small results kept from batch to batch would lie between the large blocks
    # that come and go, and the heap would grow with every batch.
    j1, j2, iwae = torch.empty(3, n, dtype=torch.float64)
    z_mean, parts = torch.empty(2, n, model.prior.latent_dim, dtype=torch.float64)
    whole = PerDatum(j1, j2, iwae, z_mean, parts, torch.empty(n, dtype=torch.float64))
    start = 0
    for batch in source.batches(rows_at_once(model, k, source.n_columns)):
        rows = slice(start, start + len(batch.x))
        for total, part in zip(whole, _evaluate_batch(model, batch, k), strict=True):
            total[rows] = part
        start = rows.stop
    offset = source.log_det
    return whole._replace(reconstruction=whole.reconstruction + offset, iwae=whole.iwae + offset)


def _evaluate_batch(model: LatentVariableModel, batch: Batch, k: int) -> PerDatum:
    q = model.infer(batch)
    log_w, log_px_z, kl = *batch.x.new_empty(2, k, len(batch.x)), batch.x.new_zeros(())
    for some in chunks(model, k, batch):
        n = some.stop - some.start
        draw = model.draw(batch, n, q=q)
        log_w[some], log_px_z[some] = draw.log_w, draw.log_px_z
        kl = kl + draw.kl * (n / k)
    iwae = torch.logsumexp(log_w, 0) - math.log(k)
    mean, parts, steps = q.mean, kl_per_latent(q, model.prior()), model.posterior.steps
    return PerDatum(
        log_px_z.mean(0),
        kl,
        iwae,
        mean,
        torch.full_like(mean, math.nan) if parts is None else parts,
        torch.zeros(len(mean)) if steps is None else steps,
    )
