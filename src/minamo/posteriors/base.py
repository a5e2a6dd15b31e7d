"""What a posterior is."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.distributions import Distribution

from minamo.batch import Batch


class Posterior(nn.Module):
    """q(z|x): chooses a distribution over z (batch shape [B], event shape [latent_dim]) for each row."""

    def forward(self, batch: Batch, log_joint: Callable[[Tensor], Tensor]) -> Distribution:
        """Return q(z|x) for the rows of `batch`.

        Args:
            batch: the rows.
            log_joint: z [K, B, latent_dim] -> log p(x, z) [K, B] in nats, for posteriors that look at
                the model itself; an encoder has no need of it.
        """
        raise NotImplementedError

    def reparameterize(self, q: Distribution, noise: Tensor) -> Tensor:
        """Turn standard normal noise [K, 1 or B, latent_dim] into draws of q [K, B, latent_dim]."""
        raise NotImplementedError
