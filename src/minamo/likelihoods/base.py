"""What a likelihood is."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from minamo.nets import Net


class Likelihood(nn.Module):
    """p(x|z): a decoder net and the named law whose parameters it gives.

    Args:
        net: maps z [..., latent_dim] to [..., per_column * D]; none for a likelihood that is made otherwise.
    """

    name: str
    """What users call it."""
    per_column: int = 1
    """Parameters of the law that the net gives for every column; 0 where it depends on the data."""
    support: Constraint
    """Where a value of x may lie."""
    measure: str
    """What the density is with respect to: "counting measure on {0, 1}", "Lebesgue measure"."""
    log_seen = False
    """Whether an encoder had better see log(1 + x): counts span orders of magnitude."""

    net: Net

    def __init__(self, net: Net | None = None):
        super().__init__()
        if net is not None:
            self.net = net

    def forward(self, z: Tensor) -> Distribution:
        """Z [..., latent_dim] -> p(x|z), batch shape z.shape[:-1], event shape [D]."""
        raise NotImplementedError

    def parts(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return the net's outputs at z, split by what they are of: per_column tensors [..., D]."""
        return self.net(z).unflatten(-1, (self.per_column, -1)).unbind(-2)

    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Begin at the best model that ignores z, or near it, given the data's mean [D] and variance [D]."""

    def maximize(self, log_px_z: Tensor) -> None:
        """Move the parameters that have a closed-form optimum there, after a gradient step.

        Args:
            log_px_z: nats, any shape, as the step computed it.
        """
