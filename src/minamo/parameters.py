"""Parameters of a VAE: which values are possible, and how a file holds them."""

from __future__ import annotations

import math
import numbers
from typing import Any

from sklearn.utils import check_random_state

from minamo import words
from minamo.errors import ConfigError
from minamo.training import COMPILE, PRECISIONS, SCHEDULES, check_device

TRANSFORMS = ("beta", "free-bits", "capacity")
"""Objectives that trade the bound for something else."""


def check_params(params: dict[str, Any]) -> None:
    """Raise ConfigError for the first parameter with an impossible value."""
    for name, least in (
        ("latent_dim", 1),
        ("batch_size", 1),
        ("max_epochs", 1),
        ("patience", 1),
        ("posterior_steps", 1),
        ("components", 1),
        ("draws", 1),
        ("warmup", 0),
    ):
        value = params[name]
        if value is None and name in ("latent_dim", "patience", "posterior_steps"):
            continue
        if not isinstance(value, numbers.Integral) or value < least:
            raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
    for name in ("learning_rate", "clip"):
        value = params[name]
        if value is not None and not (_is_real(value) and 0 < value < math.inf):
            raise ConfigError(f"{name} must be a positive number, got {value!r}")
    held = params["validation"]
    if not (_is_real(held) and 0 <= held < math.inf and (held < 1 or held == int(held))):
        raise ConfigError(f"validation must be a share below 1 or a number of rows, got {held!r}")
    hidden = params["hidden"]
    whole = hidden is None or (
        isinstance(hidden, tuple | list) and all(isinstance(w, numbers.Integral) and int(w) > 0 for w in hidden)
    )
    if not whole:
        raise ConfigError(f"hidden must be widths such as (400, 400), got {hidden!r}")
    scale = params["scale"]
    if not isinstance(scale, str) and not (_is_real(scale) and 0 < scale < math.inf):
        raise ConfigError(f"scale must be positive and finite, 'shared' or 'analytic', got {scale!r}")
    if isinstance(scale, str):
        words.check("scale", scale, words.SCALES)
    _check_posterior(params)
    _check_training(params)
    words.check("net", params["net"], list(words.NETS))
    words.check("binarize", params["binarize"], words.BINARIZE)
    words.check("preprocess", params["preprocess"], words.PREPROCESS)
    words.check("likelihood", params["likelihood"], ["auto", *words.LIKELIHOODS])
    words.check("compile", params["compile"], COMPILE)
    words.check("precision", params["precision"], PRECISIONS)
    check_device(params["device"])


def _check_training(params: dict[str, Any]) -> None:
    if not isinstance(params["warm_start"], bool):
        raise ConfigError(f"warm_start must be True or False, got {params['warm_start']!r}")
    _check_objective(params)
    words.check("schedule", params["schedule"], SCHEDULES)
    if params["warmup"] >= params["max_epochs"]:
        raise ConfigError(
            f"warmup {params['warmup']} would not be over after max_epochs {params['max_epochs']}: make it shorter"
        )


def _check_objective(params: dict[str, Any]) -> None:
    chosen = params["objective"]
    words.check("objective", chosen, list(words.OBJECTIVES))
    if chosen in ("iwae", "dreg") and params["draws"] < 2:
        raise ConfigError(f"objective {chosen} of 1 draw is the ELBO: ask for draws of at least 2")
    for name in ("beta", "free_bits", "capacity"):
        value = params[name]
        if value is None:
            continue
        if not (_is_real(value) and 0 <= value < math.inf):
            raise ConfigError(f"{name} must be a number of at least 0, got {value!r}")
        owners = [word for word, made in words.OBJECTIVES.items() if words.asked_for(made, {name: value})]
        if chosen not in owners:
            raise ConfigError(f"{name} {value:g} belongs to objective {' or '.join(owners)}; this one is {chosen}")
    if chosen in TRANSFORMS and params["posterior"] != "amortized":
        raise ConfigError(
            f"objective {chosen} needs posterior amortized: {params['posterior']} looks for the q of the ELBO instead"
        )
    if chosen == "free-bits" and (params["prior"] != "normal" or params["family"] == "flow"):
        raise ConfigError(
            "objective free-bits needs the KL of every latent: prior normal, family diagonal or full-covariance; here "
            f"they are {params['prior']} and {params['family']}"
        )


def _check_posterior(params: dict[str, Any]) -> None:
    words.check("prior", params["prior"], list(words.PRIORS))
    if not isinstance(params["weighted"], bool):
        raise ConfigError(f"weighted must be True or False, got {params['weighted']!r}")
    if params["weighted"] and params["prior"] != "vamp":
        raise ConfigError(f"weighted belongs to prior vamp; this one is {params['prior']}")
    if params["posterior"] == "exact" and params["prior"] != "normal":
        raise ConfigError(f"posterior exact is that under N(0, I): with prior {params['prior']} take another")
    words.check("posterior", params["posterior"], list(words.POSTERIORS))
    words.check("family", params["family"], list(words.FAMILIES))
    if params["posterior"] == "exact" and params["family"] != "diagonal":
        raise ConfigError(
            f"family {params['family']} has no meaning for posterior exact, whose q is p(z|x): leave it out"
        )
    steps = params["posterior_steps"]
    if steps is not None and params["posterior"] not in ("semi-amortized", "per-datum"):
        raise ConfigError(
            f"posterior_steps {steps} belongs to posterior semi-amortized or per-datum; this one is "
            f"{params['posterior']}"
        )


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def as_seed(random_state: Any) -> int:
    """An int as it is; scikit-learn's other kinds give one."""
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise ConfigError(f"random_state must be a whole number, got {random_state!r}") from error


def plain(params: dict[str, Any], seed: int) -> dict[str, Any]:
    """Parameters as JSON has them: NumPy's numbers become Python's."""
    values: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, bool):
            pass
        elif isinstance(value, numbers.Integral):
            value = int(value)
        elif isinstance(value, numbers.Real):
            value = float(value)
        values[name] = value
    hidden = None if params["hidden"] is None else [int(w) for w in params["hidden"]]
    return {**values, "random_state": seed, "hidden": hidden}
