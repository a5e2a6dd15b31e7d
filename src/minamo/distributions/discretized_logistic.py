"""Independent values on a grid in [0, 1]: mixtures of logistic laws, rounded to the grid."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional

NARROW, WIDE = -7.0, 5.0
"""log scale stays between: a quarter of the distance of two of 256 levels, and 148 times the whole grid."""


class DiscretizedLogistic(Distribution):
    """P(x_j = i / (L - 1)) = sum_c pi_c [F(i + 1/2) - F(i - 1/2)], F logistic; the ends hold the tails. Event [D].

    "PixelCNN++" (Salimans, Karpathy, Chen, Kingma, 2017), with every column on its own.

    Args:
        logits: log pi up to a constant, [..., C, D].
        loc: of each component, [..., C, D], in the units of x.
        log_scale: [..., C, D].
        levels: L; 256 for 8-bit data read as x / 255.
    """

    arg_constraints: ClassVar = {}  # pyright: ignore
    support: ClassVar = constraints.independent(constraints.unit_interval, 1)  # pyright: ignore

    def __init__(self, logits: Tensor, loc: Tensor, log_scale: Tensor, levels: int = 256):
        self.logits, self.loc, self.log_scale = logits, loc, log_scale.clamp(NARROW, WIDE)
        self.levels = levels
        super().__init__(loc.shape[:-2], loc.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Of the rounded law, [..., D]: sum over levels i of (1 - F(i + 1/2)), times the distance of two."""
        return self._tails(torch.ones_like)

    @property
    def variance(self) -> Tensor:
        """Of the rounded law, [..., D]: E[i^2] = sum over i of (2 i + 1) (1 - F(i + 1/2))."""
        return self._tails(lambda i: (2 * i + 1) / (self.levels - 1)) - self.mean**2

    def _tails(self, weight: object) -> Tensor:
        total = self.loc.new_zeros(self._extended_shape())
        weights = self.logits.softmax(-2)
        # Level by level: all at once would hold 256 copies.
        for i in torch.arange(self.levels - 1, dtype=self.loc.dtype, device=self.loc.device):
            edge = (i + 0.5) / (self.levels - 1)
            above = (weights * torch.sigmoid((self.loc - edge) * torch.exp(-self.log_scale))).sum(-2)
            total = total + weight(i) * above  # type: ignore[operator]
        return total / (self.levels - 1)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = torch.Size()) -> Tensor:  # noqa: B008
        """A component, a draw of its logistic, the nearest level."""
        with torch.no_grad():
            shape = torch.Size(sample_shape)
            whole = (*shape, *self.loc.shape)
            u = torch.rand(whole, dtype=self.loc.dtype, device=self.loc.device)
            gumbel = -torch.log(-torch.log(u.clamp_min(1e-30)))
            c = (self.logits + gumbel).argmax(-2, keepdim=True)
            loc, log_scale = (t.expand(whole).gather(-2, c).squeeze(-2) for t in (self.loc, self.log_scale))
            u = torch.rand(loc.shape, dtype=loc.dtype, device=loc.device).clamp(1e-7, 1 - 1e-7)
            x = loc + torch.exp(log_scale) * (u.log() - torch.log1p(-u))
            return (x * (self.levels - 1)).round().clamp(0, self.levels - 1) / (self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats, summed over the event."""
        x, half = value[..., None, :], 0.5 / (self.levels - 1)
        inverse = torch.exp(-self.log_scale)
        upper, lower = (x - self.loc + half) * inverse, (x - self.loc - half) * inverse
        # log(F(b) - F(a)) = log F(b) + log(1 - F(a)) + log(1 - e^(a - b)), which loses nothing far from the center.
        width = 2 * half * inverse
        between = functional.logsigmoid(upper) + functional.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        log_p = torch.where(x < half, functional.logsigmoid(upper), between)
        log_p = torch.where(x > 1 - half, functional.logsigmoid(-lower), log_p)
        return torch.logsumexp(self.logits.log_softmax(-2) + log_p, -2).sum(-1)
