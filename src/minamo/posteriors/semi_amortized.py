"""An encoder proposes q(z|x), a few gradient steps on the datum's own ELBO improve it."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributions import Distribution

from minamo.batch import Batch, LogJoint
from minamo.families import Family
from minamo.posteriors.amortized import Amortized
from minamo.posteriors.climb import antithetic, climb
from minamo.randomness import stream

DRAWS = 4
RATE = 0.5


class SemiAmortized(Amortized):
    """An encoder and natural-gradient steps: "Semi-Amortized Variational Autoencoders" (Kim et al., 2018).

    In training the decoder learns at the improved q, and the encoder follows the ELBO's gradient at the improved
    parameters as if they were its own: the steps themselves are not differentiated.

    Args:
        net: the encoder, as in `Amortized`.
        family: of q.
        n_steps: gradient steps for every row.
    """

    name = "semi-amortized"
    draws = DRAWS

    def __init__(self, net: nn.Module, family: Family, n_steps: int = 5):
        super().__init__(net, family)
        self.n_steps = n_steps

    def forward(self, batch: Batch, log_joint: LogJoint) -> Distribution:
        """Return q(z|x) after the steps; outside training the noise of the steps is always the same."""
        start = self.params(batch.x)
        n, generator = (len(start), None) if self.training else (1, stream(0, "semi-amortized"))
        noise = [antithetic(DRAWS, n, self.family.latent_dim, start, generator) for _ in range(self.n_steps)]
        end = climb(self.family, start, log_joint, [RATE] * self.n_steps, noise)
        self.steps = torch.full((len(start),), self.n_steps, device=start.device)
        # The encoder's graph, at the values after the steps.
        return self.family(start + (end - start).detach())
