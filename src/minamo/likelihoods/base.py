"""What a likelihood is."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint


class Likelihood(nn.Module):
    """p(x|z): a decoder net and the named law whose parameters it gives."""

    support: Constraint
    """Where a value of x may lie."""
    measure: str
    """What the density is with respect to: "counting measure on {0, 1}", "Lebesgue measure"."""

    def forward(self, z: Tensor) -> Distribution:
        """Z [..., latent_dim] -> p(x|z), batch shape z.shape[:-1], event shape [D]."""
        raise NotImplementedError

    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Begin at the best model that ignores z, given the data's mean [D] and variance [D]."""

    def maximize(self, log_px_z: Tensor) -> None:
        """Move the parameters that have a closed-form optimum there, after a gradient step.

        Args:
            log_px_z: nats, any shape, as the step computed it.
        """
