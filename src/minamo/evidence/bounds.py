"""Bounds on log p(x), datum by datum."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from minamo.batch import Batch, Source
from minamo.model import LatentVariableModel

NUMBERS_AT_ONCE = 2**21
"""Decoded values held at one time: 8 MB in float32, small enough to stay near the processor."""


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

    @property
    def elbo(self) -> Tensor:
        """J1 - J2."""
        return self.reconstruction - self.kl


def rows_at_once(k: int, n_columns: int) -> int:
    """How many rows to decode k times in one batch."""
    return max(1, NUMBERS_AT_ONCE // (k * n_columns))


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
    whole = PerDatum(j1, j2, iwae, torch.empty(n, model.prior.latent_dim, dtype=torch.float64))
    start = 0
    for batch in source.batches(rows_at_once(k, source.n_columns)):
        rows = slice(start, start + len(batch.x))
        for total, part in zip(whole, _evaluate_batch(model, batch, k), strict=True):
            total[rows] = part
        start = rows.stop
    offset = source.log_det
    return whole._replace(reconstruction=whole.reconstruction + offset, iwae=whole.iwae + offset)


def _evaluate_batch(model: LatentVariableModel, batch: Batch, k: int) -> PerDatum:
    chunk = max(1, NUMBERS_AT_ONCE // batch.x.numel())
    log_w, log_px_z, kl, mean = [], [], torch.zeros(()), torch.zeros(())
    for start in range(0, k, chunk):
        k_now = min(chunk, k - start)
        draw = model.draw(batch, k_now)
        log_w.append(draw.log_w)
        log_px_z.append(draw.log_px_z)
        kl, mean = kl + draw.kl * (k_now / k), draw.q.mean
    iwae = torch.logsumexp(torch.cat(log_w), 0) - math.log(k)
    return PerDatum(torch.cat(log_px_z).mean(0), kl, iwae, mean)
