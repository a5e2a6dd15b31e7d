"""What changes with the number of the step: the learning rate, and the weight of the KL."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SCHEDULES = ("plateau", "cosine")
LEAST = 0.01
"""Of the learning rate, at the end of a cosine."""


@dataclass(frozen=True)
class Schedule:
    """Both are functions of the step's number in the whole run, so that a resumed run needs no memory of them.

    >>> [round(r, 3) for r in Schedule("cosine", 8).rates(7, 2).tolist()]   # the last but one of 8 epochs, two steps
    [0.505, 0.316]
    >>> Schedule(warmup=2).kl_weights(1, 4).tolist(), Schedule(warmup=2).kl_weights(3, 2).tolist()
    ([0.125, 0.25, 0.375, 0.5], [1.0, 1.0])
    """

    word: str = "plateau"
    """"cosine": constant for the first half of `max_epochs`, then down to 1 % along half a cosine. "plateau": constant
    here; it falls when the bound has stopped improving."""
    max_epochs: int = 1
    warmup: int = 0
    """Epochs in which the weight of the KL rises linearly to 1."""

    def rates(self, epoch: int, n: int) -> Tensor:
        """Factors of the learning rate for the n steps of an epoch (the first is 1), float64."""
        if self.word == "plateau":
            return torch.ones(n, dtype=torch.float64)
        share = (epoch - 1 + torch.arange(n, dtype=torch.float64) / n) / self.max_epochs
        return LEAST + (1 - LEAST) * 0.5 * (1 + torch.cos(math.pi * (2 * share - 1).clamp_min(0)))

    def kl_weights(self, epoch: int, n: int) -> Tensor:
        """Weights of the KL for the n steps of an epoch: 1 from the end of the warm-up on."""
        if not self.warmup:
            return torch.ones(n)
        steps = (epoch - 1) * n + torch.arange(1, n + 1, dtype=torch.float64)
        return (steps / (self.warmup * n)).clamp_max(1).float()
