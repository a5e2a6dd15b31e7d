"""What can still be read of a run: everything that is there, and a sentence for everything that is not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minamo.data import Dataset, Rows, load
from minamo.data.dataset import aligned
from minamo.data.labels import labels as labels_of
from minamo.errors import MinamoError, RunError
from minamo.estimator import VAE
from minamo.model_file import read_header
from minamo.plan import split
from minamo.run import CONFIG, LOG, Run

SPREAD_ROWS = 3000
"""Rows, from all over the data, that make the map and the distributions of columns."""
SPREAD_IF_SEARCHED = 300
"""The same where the posterior searches for q."""


@dataclass
class Served:
    """Rows of a run's own data, as its model sees them: `Rows.numbers` says which."""

    judged: Rows
    """Those whose evidence is reported."""
    judged_as: str
    """"validation" or "training"."""
    spread: Rows
    """Some from all over the data."""
    labels: np.ndarray | None = None
    """One for each row of the data."""

    def labels_at(self, rows: Rows) -> list[str] | None:
        """The labels of `rows`, as text."""
        if self.labels is None or rows.numbers is None:
            return None
        return [_said(value) for value in self.labels[rows.numbers.numpy()].tolist()]


@dataclass
class Opened:
    """A run directory, as far as it can be read."""

    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    """config.json, whatever it holds."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The epochs in the log."""
    vae: VAE | None = None
    served: Served | None = None
    missing: list[str] = field(default_factory=list)
    """What could not be had, and why: a sentence each."""
    header: dict[str, Any] | None = None
    """What the model file says of itself, where no model was built."""

    @property
    def description(self) -> dict[str, Any]:
        """What the model says of itself, or else the configuration."""
        return self.vae.description_ if self.vae is not None else self.config if self.header is None else self.header

    @property
    def epochs(self) -> int | None:
        """How many epochs the model was trained, or None if there is no model."""
        if self.vae is not None:
            return self.vae.n_epochs_
        return self.header.get("epochs", 0) if self.header is not None else None


def open_run(path: str | Path, *, with_model: bool = True) -> Opened:
    """Read what there is of a run.

    Args:
        path: the run directory.
        with_model: build the model and read its data, which takes torch's generator; else read its header alone.

    Raises:
        RunError: the folder holds nothing of a run.
    """
    run = Run(path)
    if not run.what_is_there():
        raise RunError(f"there is no run in '{path}': expected a folder that minamo fit has written")
    found = Opened(run.path)
    found.config = _config(run, found.missing)
    found.history = _history(run, found.missing)
    try:
        if with_model:
            found.vae = VAE.load(run.model)
        else:
            found.header = read_header(run.model, "model")
    except MinamoError as error:
        found.missing.append(f"The model cannot be shown: {error}.")
    if found.vae is not None:
        try:
            found.served = serve(found.vae, str(found.config["source"]))
        except KeyError:
            found.missing.append(f"{CONFIG} does not say where the data lie, so nothing can be shown of them.")
        except (MinamoError, OSError) as error:
            found.missing.append(f"The data cannot be shown: {error}.")
    return found


def serve(vae: VAE, source: str) -> Served:
    """Read the data that a model was fitted on.

    Raises:
        DataError: they are not there, or cannot be read.
        RunError: they are not what they were.
    """
    data = read(vae, source)
    train, held_out = split(len(data), vae.validation, vae.seed_)
    judged = vae.rows(data, held_out if len(held_out) else train, own=True)
    some = thin(np.arange(len(data)), spread_rows(vae))
    return Served(
        judged,
        "validation" if len(held_out) else "training",
        vae.rows(data, some, own=True),
        labels_of(source, data.part, len(data)),
    )


def read(vae: VAE, source: str) -> Dataset:
    """Load a run's own data, and see that they are."""
    data = aligned(load(source), vae.schema_, vae.description_["range"][1])
    if data.fingerprint() != vae.description_["fingerprint"]:
        raise RunError(f"{source} is not what it was when the run was fitted (its fingerprint differs)")
    return data


def spread_rows(vae: VAE) -> int:
    """How many rows a map has: fewer where each is searched for."""
    return SPREAD_ROWS if vae.posterior in ("amortized", "exact") else SPREAD_IF_SEARCHED


def thin(index: np.ndarray, n: int) -> np.ndarray:
    """Return n of the numbers at equal distances, or all where there are fewer."""
    return index if len(index) <= n else index[np.arange(n) * len(index) // n]


def at(rows: Rows, places: np.ndarray) -> Rows:
    """The rows at `places`."""
    return rows.take(torch.from_numpy(np.asarray(places, np.int64)))


def _config(run: Run, missing: list[str]) -> dict[str, Any]:
    try:
        found = json.loads(run.place(CONFIG).read_text())
        if isinstance(found, dict):
            return found
        reason = "it is not one JSON object"
    except FileNotFoundError:
        reason = "it is not there"
    except (OSError, ValueError) as error:
        reason = str(error)
    missing.append(f"{CONFIG} cannot be read ({reason}): command, source and versions are unknown.")
    return {}


def _history(run: Run, missing: list[str]) -> list[dict[str, Any]]:
    try:
        found = [line for line in run.history() if isinstance(line, dict) and "epoch" in line]
    except (MinamoError, OSError, UnicodeDecodeError) as error:
        missing.append(f"Learning curves cannot be drawn: {error}.")
        return []
    if not found:
        missing.append(f"Learning curves cannot be drawn: {LOG} holds no epoch.")
    return found


def _said(value: Any) -> str:
    """A label as text: 3 and not 3.0."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return f"{value:g}" if isinstance(value, float) else str(value)
