"""The best member of a family for each row, found by following the gradient to its end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from minamo.batch import Batch, LogJoint
from minamo.families import Family
from minamo.posteriors.base import Posterior
from minamo.posteriors.climb import DRAWS, best, from_nothing


class Optimized(Posterior):
    """q(z|x) = a maximum over the family of the ELBO of x, up to 0.02 nats: nothing to learn, nothing kept.

    The gradient leads to the top of the hill it starts on: where the posterior has several, another start may end
    higher.

    Args:
        family: of q.
        start: maps x [B, D] to the parameters [B, P] at which the search begins; default: from nothing.
    """

    name = "per-datum"
    draws = DRAWS
    left: Tensor | None = None
    """[B], the nats that the gradient still promised where the last search ended; see `Summit`."""

    def __init__(self, family: Family, start: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        self.family = family
        self.start = start

    def forward(self, batch: Batch, log_joint: LogJoint) -> Distribution:
        """Return the best q of every row."""
        if self.start is None:
            summit = from_nothing(self.family, len(batch.x), log_joint, batch.x)
        else:
            with torch.no_grad():
                start = self.start(batch.x)
            summit = best(self.family, start, log_joint)
        self.steps, self.left = summit.steps, summit.left
        return self.family(summit.params)
