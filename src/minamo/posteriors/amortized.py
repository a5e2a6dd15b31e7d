"""One encoder for all data: q(z|x) is the member of its family that a net names."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.distributions import Distribution

from minamo.batch import Batch, LogJoint
from minamo.families import Family
from minamo.posteriors.base import Posterior


class Amortized(Posterior):
    """The encoder of "Auto-Encoding Variational Bayes" (Kingma, Welling, 2013).

    Args:
        net: maps x [B, D] to `family.n_params` unbounded outputs.
        family: of q.
    """

    name = "amortized"
    view: Callable[[Tensor], Tensor] | None = None
    """What the net sees of x, where it is not x itself."""

    def __init__(self, net: nn.Module, family: Family):
        super().__init__()
        self.net = net
        self.family = family

    def params(self, x: Tensor) -> Tensor:
        """X [B, D] -> the parameters of q(z|x), [B, P]."""
        return self.family.from_net(self.net(x if self.view is None else self.view(x)))

    def at(self, x: Tensor) -> Distribution:
        """Return q(z|x) for any x [B, D], data or not."""
        return self.family(self.params(x))

    def forward(self, batch: Batch, log_joint: LogJoint) -> Distribution:
        """Return q(z|x) from one pass of the net."""
        return self.at(batch.x)
