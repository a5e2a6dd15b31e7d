"""8-bit values: a mixture of logistic laws rounded to the grid, so that p(x|z) is a probability, in bits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from minamo.distributions import DiscretizedLogistic
from minamo.likelihoods.base import Likelihood
from minamo.nets import Net

LEVELS, MIXED = 256, 5
LEAST_LOG_SCALE = -7.0
"""A quarter of a level, as in PixelCNN++: a narrower law puts no more on its level, and asks any price for another."""


class _OnTheGrid(constraints.Constraint):
    """i / 255, i = 0, ..., 255, to the precision of float32."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        level = value * (LEVELS - 1)
        return ((level - level.round()).abs() < 1e-3) & (level >= -1e-3) & (level <= LEVELS - 1 + 1e-3)


class Logistic(Likelihood):
    """Every column: a mixture of discretized logistic laws on 0, 1/255, ..., 1; see `DiscretizedLogistic`.

    "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood" (Salimans et al., 2017). Scales
    have a floor: at pixels that are always dark they could shrink for ever, and one bright one would cost any price.

    Args:
        net: maps z [..., latent_dim] to 3 * mixed numbers for every column: logits, loc, log scale.
        mixed: logistic laws in each mixture.
    """

    name = "logistic"
    per_column = 3 * MIXED
    support = _OnTheGrid()
    measure = "counting measure on {0, 1/255, ..., 1}"

    def __init__(self, net: Net, mixed: int = MIXED):
        super().__init__(net)
        self.mixed, self.per_column = mixed, 3 * mixed

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        whole = self.net(z).unflatten(-1, (3, self.mixed, -1))
        logits, loc, log_scale = whole.unbind(-3)
        return DiscretizedLogistic(logits, loc, log_scale.clamp_min(LEAST_LOG_SCALE), LEVELS)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set every component's loc near the mean, apart from one another, and its scale to the data's spread."""
        bias = self.net.last.bias.view(3, self.mixed, -1)
        apart = torch.linspace(-1, 1, self.mixed)[:, None] if self.mixed > 1 else torch.zeros(1, 1)
        spread = var.sqrt().clamp_min(1 / LEVELS)
        bias[0].zero_()
        bias[1].copy_(mean + apart * spread)
        # A logistic of scale s has variance (pi s)^2 / 3.
        bias[2].copy_((spread * 3**0.5 / torch.pi).log().expand_as(bias[2]))
