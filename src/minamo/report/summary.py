"""A run, or a fitted model and its data, as one plain dict: all that a page or an explorer says."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minamo
from minamo.errors import first_line
from minamo.estimator import VAE
from minamo.parameters import TRANSFORMS
from minamo.report import looks
from minamo.report.meanings import meaning
from minamo.report.opened import Opened, Served, open_run
from minamo.report.values import plain
from minamo.run import Run
from minamo.training import Schedule
from minamo.words import numbers_of

EVIDENCE_DRAWS = 100
VERSIONS = ("minamo", "torch", "python", "threads")
CURVES = (
    "epoch", "elbo", "reconstruction", "kl", "learning_rate", "seconds",
    "validation_elbo", "validation_reconstruction", "validation_kl",
    "training_elbo", "training_reconstruction", "training_kl", "best_epoch",
    "validation_objective", "training_objective",
)  # fmt: skip


def summarize_run(path: str | Path) -> dict[str, Any]:
    """Summarize a run directory as far as it can be read; what is missing is said under "missing".

    Raises:
        RunError: the folder holds nothing of a run.
    """
    return summarize(open_run(path))


def summarize(found: Opened, evidence: dict[str, Any] | None = None) -> dict[str, Any]:
    """Summarize what was read of a run.

    Args:
        found: the run, or a fitted model and its data in its place.
        evidence: `Evidence.to_json()` of the judged rows, where it is known; else it is read or measured.

    Returns:
        Plain values: `json.dumps` takes them. Densities in nats per datum. Pictures are sheets, see `values.sheet`.
    """
    description, config = found.description, found.config
    told: dict[str, Any] = {
        "name": found.path.name or str(found.path),
        "missing": list(found.missing),
        "command": config.get("command"),
        "source": config.get("source"),
        "versions": {name: config.get(name) for name in VERSIONS if config.get(name) is not None},
        "reported_by": minamo.__version__,
        "fingerprint": description.get("fingerprint"),
        "data": description.get("data"),
        "schema": _schema(description),
        "params": description.get("params"),
        "latent_dim": description.get("latent_dim"),
        "notes": list(description.get("notes") or ()),
        "ending": ending(found),
        "curves": curves(found),
    }
    if found.vae is not None:
        _look(told, found, found.vae, evidence)
    return plain(told)


def _look(told: dict[str, Any], found: Opened, vae: VAE, evidence: dict[str, Any] | None) -> None:
    """Add what the model and its data show; a part that fails is said to be missing, and the others stand."""

    def part(name: str, words: str, make: Callable[[], Any]) -> Any:
        try:
            told[name] = make()
        # A report is for looking: whatever stops one part of it, the rest is shown.
        except Exception as error:
            told[name] = None
            reason = first_line(error)
            told["missing"].append(f"{words} could not be made: {reason}.")
        return told[name]

    served = found.served
    told["evidence"] = told["latents"] = told["map"] = None
    judged, z, order = None, looks.prior_latents(vae), list(range(vae.description_["latent_dim"]))
    if served is not None:
        if served.labels is None:
            told["missing"].append("The data come without labels, so the map has one color.")
        part("evidence", "The evidence table", lambda: evidence_table(found, vae, served, evidence))
        try:
            judged = looks.judge(vae, served)
            z = looks.spread_latents(vae, served)
            told["latents"] = looks.latents(judged)
            order = [one["latent"] for one in told["latents"]]
        except Exception as error:  # as above
            told["missing"].append(f"Nothing can be said of single latents: {error}.")
        part("map", "The map", lambda: looks.latent_map(vae, served, z, order))
        part("pairs", "Reconstructions", lambda: looks.reconstructions(vae, served))
        part("columns", "Distributions of columns", lambda: looks.columns(vae, served))
        if judged is not None:
            part("worst", "Worst-explained data", lambda: looks.worst(vae, served, judged))
    else:
        kept = Run(found.path).measured(vae.n_epochs_)
        if kept is not None:
            part("evidence", "The evidence table", lambda: _table(kept, "validation" if vae.validation else "training"))
    told["forecast"] = vae.description_.get("forecast")
    part("samples", "Samples", lambda: looks.samples(vae))
    part("traversals", "Traversals", lambda: looks.traversals(vae, z, order))
    part("components", "Components of the prior", lambda: looks.components(vae))


def evidence_table(found: Opened, vae: VAE, served: Served, evidence: dict[str, Any] | None) -> dict[str, Any]:
    """The measures of the judged rows: handed over, on record for these very weights, or measured now."""
    known = evidence or Run(found.path).measured(vae.n_epochs_)
    if known is None:
        known = vae.evidence(served.judged, EVIDENCE_DRAWS).to_json()
    return _table(known, served.judged_as)


def _table(known: dict[str, Any], rows: str) -> dict[str, Any]:
    measures = [
        {"name": name, **measure, "means": meaning(name, known.get("samples"))}
        for name, measure in known.items()
        if isinstance(measure, dict) and {"value", "se", "n", "unit"} <= set(measure)
    ]
    keep = ("samples", "reference", "ex_post", "kl_per_latent")
    return {"rows": rows, "measures": measures, **{k: known.get(k) for k in keep}}


def curves(found: Opened) -> dict[str, Any] | None:
    """The log, column by column, with what a warm-up raised: the weight of the KL, or the capacity in nats."""
    if not found.history:
        return None
    told: dict[str, Any] = {
        name: [line.get(name) for line in found.history]
        for name in CURVES
        if any(line.get(name) is not None for line in found.history)
    }
    params, data = found.description.get("params") or {}, found.description.get("data") or {}
    if params.get("warmup") and data.get("training_rows") and params.get("batch_size"):
        steps = math.ceil(data["training_rows"] / params["batch_size"])
        schedule = Schedule(warmup=params["warmup"])
        shares = [float(schedule.kl_weights(e, steps).mean()) for e in told["epoch"]]
        if params.get("objective") == "capacity":
            nats = numbers_of("capacity", params)["capacity"]
            told["capacity"] = [nats * share for share in shares]
        else:
            told["kl_weight"] = shares
    rates = told.get("learning_rate") or []
    if params.get("schedule", "plateau") == "plateau":
        falls = zip(told["epoch"][1:], rates[1:], rates, strict=False)
        told["falls"] = [e for e, after, before in falls if after is not None and before is not None and after < before]
    told["notes"] = [f"epoch {line['epoch']}: {line['note']}" for line in found.history if line.get("note")]
    return told


def ending(found: Opened) -> str:
    """How training ended, in a sentence."""
    history = found.history
    best = next((line["best_epoch"] for line in reversed(history) if line.get("best_epoch")), None)
    weights = f" The weights shown are those of epoch {best}, the best." if best else ""
    epochs = found.epochs
    if epochs is None:
        last = f" The log ends with epoch {history[-1]['epoch']}." if history else ""
        return f"How training ended is not known: there is no model.{last}"
    params = found.description.get("params") or {}
    if found.description.get("stopped") == "converged":
        what = "the objective" if params.get("objective") in TRANSFORMS else "the bound"
        return f"Converged after {epochs} epochs: {what} had stopped improving at three step sizes.{weights}"
    cap = params.get("max_epochs")
    if epochs and cap and epochs >= cap:
        return f"Stopped by the cap of {cap} epochs, before any convergence was seen.{weights}"
    return f"Not finished: {epochs} epochs are saved. Training goes on, or was interrupted.{weights}"


def of_model(vae: VAE, served: Served, name: str = "model") -> dict[str, Any]:
    """Summarize a fitted model that lies in no run directory.

    Args:
        vae: the model.
        served: its data.
        name: what to call it.
    """
    return summarize(Opened(Path(name), vae=vae, served=served))


def _schema(description: dict[str, Any]) -> dict[str, Any] | None:
    schema = description.get("schema")
    if not isinstance(schema, dict):
        return None
    names = list(schema.get("names") or ())
    return {**schema, "names": names[:200], "n_columns": int(np.prod(schema.get("shape") or [0]))}
