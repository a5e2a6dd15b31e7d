"""What a posterior is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn
from torch.distributions import Distribution

from minamo.batch import Batch, LogJoint


class Posterior(nn.Module):
    """q(z|x): chooses a distribution over z (batch shape [B], event shape [latent_dim]) for each row."""

    name: str
    """What users call it."""
    draws = 1
    """How many times `forward` may decode a batch at one time: what its memory grows with."""
    steps: Tensor | None = None
    """[B], how many gradient steps each row of the last batch took; None where none are taken."""

    def forward(self, batch: Batch, log_joint: LogJoint) -> Distribution:
        """Return q(z|x) for the rows of `batch`.

        Args:
            batch: the rows.
            log_joint: of the same rows, for posteriors that look at the model itself; an encoder has no need of it.
        """
        raise NotImplementedError

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Move to another device or type; what was noted of the last batch stays behind."""
        self.steps = None
        return super()._apply(fn, recurse)
