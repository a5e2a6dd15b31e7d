"""How the training of a run goes while one looks at it, in sentences."""

from __future__ import annotations

from minamo.report import Opened

SLOW = 5
"""Training is taken for interrupted when no epoch has come for so many times as one took..."""
SLOW_SECONDS = 20
"""...and so many seconds more."""


def has_ended(found: Opened) -> bool:
    """Whether training has come to its end."""
    cap = (found.description.get("params") or {}).get("max_epochs")
    return found.epochs is not None and (
        found.description.get("stopped") is not None or (cap is not None and found.epochs >= cap)
    )


def how_it_goes(found: Opened, idle: float | None) -> str:
    """How training that has not ended goes, in a sentence; `idle` is since when the log says nothing, in seconds."""
    if not found.history or idle is None:
        return "No epoch has ended yet."
    last, before = found.history[-1], found.history[-2] if len(found.history) > 1 else {}
    took = max(0.0, last.get("seconds", 0.0) - before.get("seconds", 0.0))
    if idle <= SLOW * took + SLOW_SECONDS:
        return f"Training: {last['epoch']} epochs so far, the last {idle:.0f} s ago."
    return (
        f"Not finished: {last['epoch']} epochs, and none for {idle:.0f} s, where the last took {took:.1f} s: "
        f"interrupted, it seems; minamo fit -o {found.path} --resume goes on."
    )


def model_shown(found: Opened) -> str:
    """Which weights are shown: the log, written every epoch, may be ahead of the model, saved every few seconds."""
    epochs = found.epochs
    if not epochs:
        return "Shown is the model before any training."
    told = [line["best_epoch"] for line in found.history if line["epoch"] <= epochs and line.get("best_epoch")]
    best = f": the weights of epoch {told[-1]}, the best" if told else ""
    return f"Shown is the model saved after epoch {epochs}{best}."
