"""x | z ~ N(xhat(z), sigma^2 I)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from minamo.distributions import IsotropicNormal
from minamo.errors import ConfigError
from minamo.likelihoods.base import Likelihood
from minamo.nets import Net

MIN_SCALE = 1e-3
"""A learned sigma stops here, in model units: with as many latents as columns the density has no maximum."""
MEMORY = 0.05
"""Weight of the newest batch in the running mean squared error of `scale="analytic"`."""


class Normal(Likelihood):
    """log p(x|z) = -|x - xhat(z)|^2 / (2 sigma^2) - D log sigma - (D/2) log 2 pi.

    Args:
        net: maps z [..., latent_dim] to the mean xhat [..., D].
        scale: sigma. A number is kept as it is: 1 is the N(xhat, I) of the literature. "shared" learns
            one sigma by gradient. "analytic" sets sigma^2 to the mean squared error, its optimum given the rest
            ("Simple and Effective VAE Training with Calibrated Decoders", Rybkin et al., 2021).
    """

    name = "normal"
    support = constraints.real
    measure = "Lebesgue measure"

    def __init__(self, net: Net, scale: float | str = "shared"):
        super().__init__(net)
        start = 1.0
        if isinstance(scale, str):
            if scale not in ("shared", "analytic"):
                raise ConfigError(f"scale must be a positive number, 'shared' or 'analytic', got '{scale}'")
        elif math.isfinite(scale) and scale > 0:
            start = float(scale)
        else:
            raise ConfigError(f"scale must be positive and finite, got {scale!r}")
        self.rule = scale if isinstance(scale, str) else "fixed"
        self.log_scale = nn.Parameter(torch.tensor(0.0), requires_grad=self.rule == "shared")
        self.set_scale(start)

    @property
    def scale(self) -> Tensor:
        """sigma, a positive scalar, in model units."""
        sigma = self.log_scale.exp()
        return sigma if self.rule == "fixed" else sigma + MIN_SCALE

    @torch.no_grad()
    def set_scale(self, sigma: float) -> None:
        """Set sigma, no lower than its floor where it is free."""
        free = sigma if self.rule == "fixed" else max(sigma - MIN_SCALE, 1e-6)
        self.log_scale.fill_(math.log(free))

    def forward(self, z: Tensor) -> Distribution:
        """Return p(x|z)."""
        return IsotropicNormal(self.net(z), self.scale)

    @torch.no_grad()
    def start_from(self, mean: Tensor, var: Tensor) -> None:
        """Set the bias to the mean, and a free sigma to the spread around it."""
        self.net.last.bias.copy_(mean)
        if self.rule != "fixed":
            self.set_scale(float(var.mean()) ** 0.5)

    @torch.no_grad()
    def maximize(self, log_px_z: Tensor) -> None:
        """For "analytic": sigma^2 <- (1 - m) sigma^2 + m |x - xhat|^2 / D, with m = 0.05.

        The squared error is read back from log p(x|z), which is linear in it, so no second decoding.
        """
        if self.rule != "analytic" or not any(p.requires_grad for p in self.net.parameters()):
            # A decoder that is held keeps its sigma.
            return
        n, var = self.net.last.out_features, self.scale**2
        constant = -0.5 * n * torch.log(2 * math.pi * var)
        mse = (2 * var * (constant - log_px_z.mean()) / n).clamp_min(0)
        sigma = ((1 - MEMORY) * var + MEMORY * mse).sqrt()
        self.log_scale.copy_((sigma - MIN_SCALE).clamp_min(1e-6).log())
