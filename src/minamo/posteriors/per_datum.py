"""No encoder: every datum has parameters of its own, in a table."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from minamo.batch import Batch, LogJoint
from minamo.families import Family
from minamo.posteriors.base import Posterior
from minamo.posteriors.climb import DRAWS, antithetic, climb, from_nothing, of_rows

DRAWS_IN_TRAINING = 4
"""Draws in a training step."""
RATE = 0.3
"""Of a training step: it averages over some six draws' worth of visits."""


class PerDatum(Posterior):
    """q(z|x_n) = the family's member psi_n, as in "Stochastic Variational Inference" (Hoffman et al., 2013).

    In training every row of a batch takes a few natural-gradient steps from where its last visit left it, and is
    written back; no other row is touched, no optimizer keeps anything for it, and the cost does not depend on the size
    of the table. Rows are written in place: a table in shared memory may be filled by several processes.

    Otherwise a row that was trained on keeps its parameters, and any other is optimized from scratch until the gradient
    promises less than 0.02 nats; `steps` says how many steps each row took.

    Args:
        n_rows: rows of the data; `Batch.index` counts them.
        family: of q.
        n_steps: gradient steps at each visit in training.
    """

    name = "per-datum"
    draws = DRAWS
    table: Tensor
    """[N, P], float32."""
    visited: Tensor
    """[N], bool: rows that have been trained on."""

    def __init__(self, n_rows: int, family: Family, n_steps: int = 2):
        super().__init__()
        self.family = family
        self.n_steps = n_steps
        self.register_buffer("table", family.origin().repeat(n_rows, 1))
        self.register_buffer("visited", torch.zeros(n_rows, dtype=torch.bool))

    def forward(self, batch: Batch, log_joint: LogJoint) -> Distribution:
        """Return q of every row; in training also improve and store it."""
        if self.training and batch.index is not None:
            return self.family(self._visit(batch.index, log_joint))
        new = torch.arange(len(batch.x), device=batch.x.device)
        params = self.family.origin().to(batch.x).repeat(len(batch.x), 1)
        if batch.index is not None:
            params = self.table[batch.index].to(batch.x)
            new = torch.nonzero(~self.visited[batch.index])[:, 0]
        self.steps = torch.zeros(len(params), dtype=torch.int64, device=params.device)
        if len(new):
            summit = from_nothing(self.family, len(new), of_rows(log_joint, new), params)
            params[new], self.steps[new] = summit.params, summit.steps
        return self.family(params)

    def _visit(self, index: Tensor, log_joint: LogJoint) -> Tensor:
        rows = self.table[index]
        noise = [antithetic(DRAWS_IN_TRAINING, len(rows), self.family.latent_dim, rows) for _ in range(self.n_steps)]
        rows = climb(self.family, rows, log_joint, [RATE] * self.n_steps, noise)
        with torch.no_grad():
            self.table.index_copy_(0, index, rows)
            self.visited.index_fill_(0, index, True)
        self.steps = torch.full((len(rows),), self.n_steps, device=rows.device)
        return rows
