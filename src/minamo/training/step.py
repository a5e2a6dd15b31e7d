"""The gradient step: draw, bound, backward, Adam. One recipe, run as it stands or traced and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from minamo.data import Rows
from minamo.model import Draw, LatentVariableModel
from minamo.training.adam import Adam

Objective = Callable[[Draw], Tensor]


class Step(Protocol):
    """A gradient step on some of the rows."""

    def begin(self, rates: Tensor, kl_weights: Tensor) -> None:
        """Get ready for the n steps of an epoch.

        Args:
            rates: their learning rates, [n], float64.
            kl_weights: what the KL is weighed with in the objective, [n].
        """

    def __call__(self, places: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step.

        Args:
            places: [B], int64: which rows.
            noise: standard normal [K, B, latent_dim], what z is drawn with.

        Returns:
            J1 = log p(x|z), the mean over the draws, and KL, both [B], nats, before the step.
        """
        ...

    def end(self) -> None:
        """Leave the optimizer as if it had counted every step itself."""


class EagerStep:
    """The step, operation by operation."""

    def __init__(self, model: LatentVariableModel, rows: Rows, adam: Adam, objective: Objective):
        self.model = model
        self.rows = rows
        self.adam = adam
        self.objective = objective

    def begin(self, rates: Tensor, kl_weights: Tensor) -> None:
        """See `Step`."""
        self.rates, self.kl_weights = iter(rates.tolist()), iter(kl_weights.unbind())

    def __call__(self, places: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """See `Step`."""
        draw = self.model.draw(self.rows.at(places), noise=noise, kl_weight=next(self.kl_weights))
        for weight in self.adam.learned.values():
            weight.grad = None
        (-self.objective(draw).mean()).backward()
        self.adam.step(next(self.rates))
        self.model.likelihood.maximize(draw.log_px_z.detach())
        # Tensors: nothing waits for a number inside the loop.
        return draw.log_px_z.detach().mean(0), draw.kl.detach()

    def end(self) -> None:
        """Nothing to leave."""
