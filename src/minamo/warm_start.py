"""Warm start: the plan of a fit that goes on from the weights of another, with a new optimizer and schedule."""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import Any

from minamo.data import Dataset
from minamo.data.dataset import aligned
from minamo.errors import ConfigError, DataError
from minamo.model import LatentVariableModel
from minamo.parameters import check_params
from minamo.plan import Plan, make_plan, refuse_unsupported
from minamo.schema import Schema

OF_THE_MODEL = ("net", "scale", "prior", "weighted", "posterior", "family", "binarize", "preprocess", "random_state")
"""What stays as it was where a fit goes on from the weights of another..."""
IN_SHAPES = ("latent_dim", "hidden", "components")
"""...and what may be said in another way, as long as the weights keep their shapes."""


def go_on(
    params: dict[str, Any],
    data: Dataset,
    fitted: dict[str, Any],
    model: LatentVariableModel,
    engine: dict[str, Any] | None = None,
) -> Plan:
    """Check that a fitted model can go on, and return the plan in which it does.

    Args:
        params: those of VAE.
        data: all rows, of the fit before or of others; they are read in its units.
        fitted: description of the fit before.
        model: its model, left as it is.
        engine: see `make_plan`.

    Raises:
        ConfigError: the columns, the likelihood or the nets are others than before.
    """
    try:
        data = aligned(data, Schema.from_json(fitted["schema"]), fitted["range"][1])
    except DataError as error:
        raise ConfigError(f"warm_start goes on with the columns of the first fit: {error}") from error
    check_params(params)
    before = fitted["params"]
    now = {**params, "latent_dim": params["latent_dim"] or fitted["latent_dim"]}
    if params["likelihood"] == "auto":
        now["likelihood"] = fitted["likelihood"]
    if not isinstance(params["random_state"], numbers.Integral):
        # Another seed would hold out other rows than those that were never trained on.
        now["random_state"] = fitted["seed"]
    _require_the_same(before, now, OF_THE_MODEL)
    _require_the_same(fitted, now, ("likelihood",))
    plan = make_plan(now, data, engine, fitted)
    other = plan.description["fingerprint"] != fitted["fingerprint"]
    if other and params["posterior"] == "per-datum":
        raise ConfigError(f"posterior per-datum knows the rows it was fitted on, and {data.name} holds others")
    shapes = [{name: t.shape for name, t in m.state_dict().items()} for m in (model, plan.model)]
    if shapes[0] != shapes[1]:
        _require_the_same({**before, "latent_dim": fitted["latent_dim"]}, now, IN_SHAPES)
        raise ConfigError("warm_start goes on with the nets of the first fit, and theirs have other shapes")
    plan.model.load_state_dict(model.state_dict())
    support = plan.model.likelihood.support
    refuse_unsupported(data, fitted["likelihood"], support, plan.rows.prepare.binarize)
    note = f"weights from a fit of {fitted.get('epochs', 0)} epochs (objective {before['objective']})"
    if other:
        note += "; these are other data, read in the units of that fit"
    description = {**plan.description, "notes": [*plan.description["notes"], note]}
    return replace(plan, settings=replace(plan.settings, fitted=True), description=description)


def _require_the_same(before: dict[str, Any], now: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        was, new = (list(p[name]) if isinstance(p[name], tuple) else p[name] for p in (before, now))
        if was != new:
            raise ConfigError(
                f"warm_start goes on with the model of the first fit, whose {name} was {was}, not {new}: "
                "leave it as it was, or take warm_start=False"
            )
