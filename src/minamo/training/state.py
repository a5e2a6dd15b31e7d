"""State: everything training needs to go on as if it had never stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from minamo.errors import RunError
from minamo.training.adam import Adam
from minamo.training.convergence import HELD_OUT, TRAINED_ON, Plateau
from minamo.training.engine import Engine
from minamo.training.schedule import Schedule

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """How to train."""

    batch_size: int
    learning_rate: float
    max_epochs: int
    patience: int | None
    """Epochs without a clear improvement before the learning rate falls, and in the end training stops;
    None trains for `max_epochs`."""
    seed: int
    draws: int = 1
    """K, draws of z for every row of a step."""
    schedule: Schedule = field(default_factory=Schedule)
    engine: Engine = field(default_factory=Engine)
    """How steps are run."""
    clip: float | None = None
    """The largest norm of the gradient of a step."""
    fitted: bool = False
    """The weights to begin with are those of a fit: judged as epoch 0, they are kept unless an epoch is better."""


@dataclass(frozen=True)
class State:
    """A snapshot at the end of an epoch. Noise and order of an epoch follow from seed and epoch alone."""

    epoch: int
    weights: Tensors
    average: Tensors
    """The moving average of the weights."""
    moments: Tensors
    """Adam's state, "3.exp_avg" for the fourth parameter."""
    learning_rate: float
    best: Tensors
    """The average with the highest mean of what is judged, over the watched rows, so far."""
    best_judged: float
    best_epoch: int
    """0 for the weights that training began with."""
    plateau: Plateau = field(default_factory=Plateau)
    judged: str = "elbo"
    """What the watched rows are judged by, see `Judge.word`: a run is judged to its end by what it began with."""
    drops: int = 0
    """How often the learning rate has fallen."""
    recovered: bool = False
    """Whether training has already gone back once from a non-finite bound."""
    floor: Sequence[float] | None = None
    """What the first epoch came to, see `loop`: a later one that falls below has diverged."""
    stopped: str | None = None
    """Why training ended, or None."""
    record: dict[str, Any] = field(default_factory=dict)
    """What the log says about this epoch."""

    @classmethod
    def beginning(cls, model: nn.Module, settings: Settings, watch_name: str = "validation") -> State:
        """The state before the first epoch."""
        weights = copied(model.state_dict())
        plateau = Plateau(z=HELD_OUT if watch_name == "validation" else TRAINED_ON)
        return cls(0, weights, weights, {}, settings.learning_rate, weights, -math.inf, 0, plateau)

    def to_parts(self) -> tuple[Tensors, dict[str, Any]]:
        """Return (tensors, plain values), from which `from_parts` rebuilds the state exactly."""
        groups = {"weights": self.weights, "average": self.average, "moments": self.moments, "best": self.best}
        tensors = {f"{group}.{k}": v for group, members in groups.items() for k, v in members.items()}
        if self.plateau.anchor is not None:
            tensors["anchor"] = self.plateau.anchor
        names = (
            "epoch",
            "best_judged",
            "best_epoch",
            "judged",
            "learning_rate",
            "drops",
            "recovered",
            "floor",
            "stopped",
            "record",
        )
        return tensors, {**{k: getattr(self, k) for k in names}, "since": self.plateau.since, "z": self.plateau.z}

    @classmethod
    def from_parts(cls, tensors: Tensors, plain: dict[str, Any]) -> State:
        """Rebuild a state."""
        groups: dict[str, Tensors] = {"weights": {}, "average": {}, "moments": {}, "best": {}}
        for name, tensor in tensors.items():
            group, _, key = name.partition(".")
            if group in groups:
                groups[group][key] = tensor
        plain = dict(plain)
        if "best_elbo" in plain:
            # Written when the ELBO judged everything.
            plain["best_judged"] = plain.pop("best_elbo")
        plateau = Plateau(tensors.get("anchor"), plain.pop("since"), plain.pop("z"))
        return cls(plateau=plateau, **groups, **plain)

    def refuse_unlike(self, model: nn.Module, name: str = "the state") -> None:
        """Raise RunError where this is not a state of such a model; `name` is what it is called there."""
        shapes = {k: list(t.shape) for k, t in model.state_dict().items()}
        groups = {group: (getattr(self, group), shapes) for group in ("weights", "average", "best")}
        moments = {k: t for k, t in self.moments.items() if not k.endswith(".step")}
        kinds = ("exp_avg", "exp_avg_sq")
        numbered = {f"{i}.{kind}": list(p.shape) for i, p in enumerate(model.parameters()) for kind in kinds}
        groups["moments"] = (moments, numbered)
        for group, (tensors, here) in groups.items():
            there = {k: list(t.shape) for k, t in tensors.items()}
            # What is not learned has no moments, and neither has anything before the first step.
            for key in sorted(there if group == "moments" else there | here):
                if there.get(key) != here.get(key):
                    raise RunError(
                        f"{name} is of another model: there {group} {key} is {there.get(key, 'absent')}, here "
                        f"{here.get(key, 'absent')}"
                    )

    def put_back(self, model: nn.Module, average: nn.Module, adam: Adam) -> None:
        """Copy this state into a model, its average and its optimizer.

        Raises:
            RunError: it is a state of another model.
        """
        self.refuse_unlike(model)
        model.load_state_dict(self.weights)
        average.load_state_dict(self.average)
        adam.load(self.moments)

    def with_best_weights(self, learning_rate: float) -> State:
        """Return the state that goes on from the best weights with another learning rate, its patience renewed."""
        return replace(
            self,
            weights=self.best,
            average=self.best,
            learning_rate=learning_rate,
            drops=self.drops + 1,
            plateau=replace(self.plateau, since=0),
        )


def copied(tensors: Tensors) -> Tensors:
    """Detached copies."""
    return {k: v.detach().clone() for k, v in tensors.items()}
