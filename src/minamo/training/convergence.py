"""When has a bound stopped improving? Judged datum by datum against the error of the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

HELD_OUT = 2.0
"""An improvement on held-out rows counts when its mean exceeds this many of its own standard errors."""
TRAINED_ON = 0.5
"""The same on the very rows that are trained on: they are no sample of anything, so the spread over
rows overstates the error."""


@dataclass(frozen=True)
class Plateau:
    """What every datum was judged by at the last clear improvement, the ELBO or another, and how long ago that was.

    The same data are judged with the same noise every time, so the difference of two epochs is paired:
    its standard error is far below that of either mean. Improvements too small to see in one epoch
    add up against the same anchor until they show.
    """

    anchor: Tensor | None = None
    """[N], nats."""
    since: int = 0
    """Epochs without a clear improvement over the anchor."""
    z: float = HELD_OUT
    """Standard errors that make an improvement clear."""

    def after(self, judged: Tensor) -> Plateau:
        """Return the plateau after an epoch that ended at `judged` [N]."""
        if self.anchor is None or clearly_better(judged, self.anchor, self.z):
            return replace(self, anchor=judged, since=0)
        return replace(self, since=self.since + 1)


def clearly_better(judged: Tensor, than: Tensor, z: float = HELD_OUT) -> bool:
    """Whether mean(judged - than) exceeds z of its standard errors, pair by pair.

    >>> import torch
    >>> before = torch.tensor([-100.0, -80.0, -120.0, -90.0])
    >>> clearly_better(before + torch.tensor([0.5, 0.6, 0.4, 0.5]), before)
    True
    >>> clearly_better(before + torch.tensor([5.0, -4.0, 3.0, -2.0]), before)
    False
    """
    difference = (judged - than).double()
    if len(difference) < 2:
        return bool(difference.mean() > 0)
    return bool(difference.mean() > z * difference.std() / math.sqrt(len(difference)))
