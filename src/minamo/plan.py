"""Plan: parameters and data in, a model ready to train out, with every choice put into words."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.distributions import constraints

from minamo import words
from minamo.data import Dataset, Facts, Prepare, Rows, gather, refuse_outside
from minamo.errors import ConfigError, DataError
from minamo.evidence import Forecast, forecast
from minamo.likelihoods import Normal
from minamo.likelihoods.normal import MIN_SCALE
from minamo.model import LatentVariableModel
from minamo.parameters import as_seed, check_params, plain
from minamo.posteriors import Amortized
from minamo.randomness import drawing_from, stream
from minamo.schema import Schema
from minamo.training import DROPS, Engine, Schedule, Settings, State, choose_engine, compiled_sizes, device_for
from minamo.training.judge import ELBO

LATENTS = 32
LEARNING_RATES = {"linear": 6e-3}
LEARNING_RATE = 1e-3
PATIENT_STEPS = 2000
"""A plateau lasts at least this many gradient steps, however few make an epoch."""
LIKELY_EPOCHS = 50
"""A run that stops by itself is expected to take at least so many."""
FORECAST_ROWS = 2000
"""Rows from which the covariance spectrum is computed when there are more."""
WATCHED_ROWS = 10_000
"""Training rows on which convergence is judged when none are held out and there are more."""
WATCHED_IF_OPTIMIZED = 500
"""Rows on which convergence is judged where each has to be optimized from scratch, after every epoch."""
MAXIMIZED = {
    "iwae": "log (1/{draws}) sum_k w_k",
    "dreg": "log (1/{draws}) sum_k w_k",
    "beta": "J1 - {beta:g} J2",
    "free-bits": "J1 - sum_j max({free_bits:g}, KL_j)",
    "capacity": "J1 - {beta:g} |J2 - {capacity:g}|",
}
NAMED = 5
"""Constant columns named in a message before it says "and so on"."""


@dataclass(frozen=True)
class Plan:
    """All that `train` needs, and what a model file carries."""

    model: LatentVariableModel
    rows: Rows
    watched: Rows | None
    watch_name: str
    settings: Settings
    description: dict[str, Any]
    """Plain values: from it alone `build` makes the same model again."""
    warnings: tuple[str, ...]


def make_plan(
    params: dict[str, Any],
    data: Dataset,
    engine: dict[str, Any] | None = None,
    fitted: dict[str, Any] | None = None,
) -> Plan:
    """Check parameters against data, choose what is "auto", and build the model with its starting weights.

    Args:
        params: those of VAE.
        data: all rows, those to be held out included.
        engine: what a run that goes on has begun with; default: chosen now.
        fitted: description of a model whose units and range are taken; default: those of the data.
    """
    check_params(params)
    if len(data) < 2:
        raise DataError(f"{data.name} has 1 sample (n_samples = 1); a model needs at least 2 rows")
    seed = as_seed(params["random_state"])
    train_index, held_out = split(len(data), params["validation"], seed)
    facts = gather(data, train_index)
    whole = facts.with_range_of(gather(data, held_out)) if len(held_out) else facts
    chosen, why = params["likelihood"], "as asked"
    if chosen == "auto":
        chosen, why = words.choose_likelihood(whole, params["binarize"])
    words.check("likelihood", chosen, list(words.LIKELIHOODS))
    prepare, how = _prepare(params, data, facts, chosen)
    low_high = [whole.low, whole.high]
    if fitted is not None:
        prepare, how = replace(Prepare.from_json(fitted["prepare"]), divisor=data.schema.divisor), "as in the first fit"
        low_high = fitted["range"]
    if params["posterior"] == "exact" and (chosen != "normal" or params["net"] != "linear"):
        raise ConfigError(
            "posterior exact needs likelihood normal and net linear, where p(z|x) is known; here they are "
            f"{chosen} and {params['net']}: posterior per-datum comes closest to it"
        )
    if chosen != "normal" and params["scale"] != "shared":
        raise ConfigError(f"scale {params['scale']} belongs to the normal likelihood; this one is {chosen} ({why})")
    latent_dim = int(params["latent_dim"] or 0) or min(LATENTS, max(1, data.schema.n_columns // 2))
    description = {
        "params": plain(params, seed),
        "schema": data.schema.to_json(),
        "prepare": prepare.to_json(),
        "likelihood": chosen,
        "latent_dim": latent_dim,
        "seed": seed,
        "fingerprint": data.fingerprint(),
        "range": low_high,
        "data": {"name": data.name, "part": data.part, "rows": len(data), "training_rows": len(train_index)},
    }
    model = build(description)
    model.likelihood.start_from(*prepare.moments(facts))
    with drawing_from(stream(seed, "pseudo-inputs")):
        some = Rows(data.x, replace(prepare, binarize="none"), train_index).spread(params["components"])
        model.prior.start_from(some.at(torch.arange(len(some))).x)
    forecast, said = _forecast(params, Rows(data.x, prepare, train_index), latent_dim, chosen, seed)
    description["forecast"] = forecast
    everything = Rows(data.x, prepare)
    if prepare.binarize == "fixed":
        everything = everything.drawn_once(stream(seed, "binarize", data.part))
    rows = Rows(everything.x, everything.prepare, train_index, own=True)
    most = WATCHED_IF_OPTIMIZED if params["posterior"] == "per-datum" and len(held_out) else WATCHED_ROWS
    judged = len(held_out) or params["patience"] is not None
    watched = _watched(everything, data.part, train_index, held_out, most, seed) if judged else None
    settings, engine_said = _settings(params, model, len(train_index), seed, engine)
    description["engine"] = {**asdict(settings.engine), "said": engine_said}
    description["device"] = str(device_for(params["device"]))
    scale = f", scale {params['scale']}" if chosen == "normal" else ""
    description["notes"] = [
        f"data {data.name}: {len(data)} rows of {data.schema.n_columns}, {len(held_out)} held out for validation",
        f"likelihood {chosen} ({why}){scale}",
        f"data {prepare.words} ({how})",
        f"{latent_dim} latents, net {params['net']}" + _widths(params),
        *_prior_notes(params),
        *_posterior_notes(params, watched, held_out),
        *_objective_notes(params),
        *([said] if said else []),
        engine_said,
    ]
    watch_name = "validation" if len(held_out) else "training"
    return Plan(model, rows, watched, watch_name, settings, description, _warnings(data, facts))


def _settings(
    params: dict[str, Any], model: LatentVariableModel, n_rows: int, seed: int, engine: dict[str, Any] | None
) -> tuple[Settings, str]:
    """How to train and with what: a plateau lasts `patience` epochs, and no fewer steps than PATIENT_STEPS."""
    patience, most, size = params["patience"], params["max_epochs"], int(params["batch_size"])
    if params["schedule"] == "cosine":
        patience = None
    steps = math.ceil(n_rows / size)
    least = most
    if patience is not None:
        patience = max(patience, math.ceil(PATIENT_STEPS / steps))
        least = min(most, max(LIKELY_EPOCHS, 1 + (1 + DROPS) * patience))
    device = device_for(params["device"])
    rate = params["learning_rate"] or LEARNING_RATES.get(params["net"], LEARNING_RATE)
    if engine is None:
        ahead, graphs = least * steps, len(compiled_sizes(n_rows, size))
        decoded = size * params["draws"]
        chosen, said = choose_engine(model, params["compile"], params["precision"], decoded, ahead, graphs, device)
        said += "" if device.type == "cpu" else f", on {torch.cuda.get_device_name(device)}"
    else:
        chosen, said = Engine(engine["compiled"], engine["precision"]), engine["said"]
    schedule = Schedule(params["schedule"], most, params["warmup"])
    settings = Settings(size, rate, most, patience, seed, params["draws"], schedule, chosen, params["clip"])
    return settings, said


def going_on(plan: Plan, state: State) -> Plan:
    """Return the plan of a run that goes on from `state`, its notes true to what judges the epochs."""
    if not state.epoch:
        return plan
    params = plan.description["params"]
    then = dict(zip(_objective_notes(params), _objective_notes(params, state.judged), strict=True))
    notes = [then.get(note, note) for note in plan.description["notes"]]
    return replace(plan, description={**plan.description, "notes": notes})


def with_prior_alone(plan: Plan, fitted: LatentVariableModel | None = None) -> Plan:
    """Return the plan in which nothing is learned but the prior: an ex-post density of the latents.

    The prior appears in the ELBO as E_q[log p(z)] alone, so it is fitted by maximum likelihood to draws of the
    aggregated posterior. "From Variational to Deterministic Autoencoders" (Ghosh et al., 2020).

    Args:
        plan: of the same data and nets, with the prior that is to come.
        fitted: whose decoder and encoder are taken; None leaves those of the plan, which a checkpoint will replace.
    """
    model = plan.model
    for part in ("likelihood", "posterior"):
        if fitted is not None:
            getattr(model, part).load_state_dict(getattr(fitted, part).state_dict())
        getattr(model, part).requires_grad_(False)
    notes = [*plan.description["notes"], "decoder and encoder are held: only the prior is fitted (ex post)"]
    return replace(plan, description={**plan.description, "ex_post": True, "notes": notes})


def floor_note(model: LatentVariableModel) -> str | None:
    """Say so if a learned sigma has come down to its floor."""
    law = model.likelihood
    if isinstance(law, Normal) and law.rule != "fixed" and float(law.scale.detach()) < 1.5 * MIN_SCALE:
        return f"scale has reached its floor of {MIN_SCALE:g}: fewer latents, or larger units, would let it be learned"
    return None


def build(description: dict[str, Any]) -> LatentVariableModel:
    """Make the model that a description is of, with the starting weights of its seed."""
    params, latent_dim = description["params"], description["latent_dim"]
    n_columns = Schema.from_json(description["schema"]).n_columns
    shape, net, hidden = description["schema"]["shape"], params["net"], params["hidden"]
    with drawing_from(stream(description["seed"], "weights")):
        posterior = words.posterior(
            params["posterior"],
            params["family"],
            latent_dim,
            lambda n_outputs: words.encoder(net, shape, n_outputs, hidden),
            params["posterior_steps"],
            description["data"]["rows"],
        )
        law = words.likelihood(
            description["likelihood"],
            lambda n_outputs: words.decoder(net, latent_dim, shape, n_outputs, hidden),
            n_columns,
            scale=params["scale"],
            n=int(description["range"][1]),
            classes=int(description["range"][1]) + 1,
        )
    if law.log_seen and isinstance(posterior, Amortized):
        posterior.view = torch.log1p
    low, high = _support(description)
    with drawing_from(stream(description["seed"], "prior")):
        prior = words.prior(
            params["prior"],
            posterior,
            latent_dim=latent_dim,
            components=params["components"],
            weighted=params["weighted"],
            n_columns=n_columns,
            low=low,
            high=high,
        )
    return LatentVariableModel(prior, law, posterior).eval()


def _support(description: dict[str, Any]) -> tuple[float, float]:
    """The least and the largest value in model units: bits, data as they are, or standardized ones that know no end."""
    if description["likelihood"] == "bernoulli":
        return 0.0, 1.0
    low, high = description["range"]
    return (low, high) if description["prepare"]["center"] is None else (-math.inf, math.inf)


def split(n: int, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of training and of held-out rows, each in order.

    Args:
        n: rows in all.
        validation: a share below 1, or a number of rows; 0 holds out none.
        seed: of the random choice.
    """
    held = round(n * validation) if validation < 1 else int(validation)
    if validation > 0:
        held = max(held, 1)
    if held >= n:
        raise ConfigError(f"validation {validation:g} leaves no row of {n} to train on; hold out fewer")
    order = torch.randperm(n, generator=stream(seed, "split")).numpy()
    return np.sort(order[held:]), np.sort(order[:held])


def refuse_unsupported(data: Dataset, likelihood: str, support: constraints.Constraint, binarize: str) -> None:
    """Raise SupportError if a value of `data` has no probability under the likelihood, or cannot be one itself."""
    if binarize != "none":
        refuse_outside(
            data,
            constraints.unit_interval,
            "binarized",
            "only values in [0, 1] can be read as probabilities; rescale them",
        )
    elif support is not constraints.real:
        remedy = "use --binarize dynamic, or " if likelihood == "bernoulli" else ""
        if data.schema.divisor != 1 and support.is_discrete and likelihood not in ("bernoulli", "logistic"):
            remedy = f"8-bit values are read as x / {data.schema.divisor:g}, give counts in a wider type; or "
        refuse_outside(data, support, likelihood, f"{remedy}another likelihood (--likelihood normal)")


def _prepare(params: dict[str, Any], data: Dataset, facts: Facts, likelihood: str) -> tuple[Prepare, str]:
    """Binarization and standardization, and why."""
    binarize, support = params["binarize"], words.LIKELIHOODS[likelihood].support
    if binarize != "none" and likelihood != "bernoulli":
        raise ConfigError(f"binarize {binarize} gives 0 and 1, which the {likelihood} likelihood is not for")
    refuse_unsupported(data, likelihood, support, binarize)
    chosen, why = params["preprocess"], "as asked"
    if chosen == "auto":
        chosen, why = words.choose_preprocess(facts, data.schema.kind, likelihood)
    if chosen == "standardize":
        if support is not constraints.real:
            raise ConfigError(f"preprocess standardize would take values out of the {likelihood} likelihood's support")
        return Prepare.standardizing(facts, data.schema.divisor), why
    return Prepare(data.schema.divisor, binarize=binarize), why


def _watched(everything: Rows, part: str, train_index: np.ndarray, held_out: np.ndarray, most: int, seed: int) -> Rows:
    """The rows that judge convergence, with binarization drawn once."""
    index = held_out if len(held_out) else train_index
    if not len(held_out) or most < WATCHED_ROWS:
        some = torch.randperm(len(index), generator=stream(seed, "watched"))[:most]
        index = index[np.sort(some.numpy())]
    watched = Rows(everything.x, everything.prepare, index, own=True)
    return watched.drawn_once(stream(seed, "binarize", part))


def _warnings(data: Dataset, facts: Facts) -> tuple[str, ...]:
    constant = facts.constant
    if not len(constant):
        return ()
    named = ", ".join(data.schema.column(int(j)) for j in constant[:NAMED])
    more = " and so on" if len(constant) > NAMED else ""
    held = "holds" if len(constant) == 1 else "hold"
    return (f"{len(constant)} of {data.schema.n_columns} columns {held} one value only and are kept: {named}{more}",)


def _widths(params: dict[str, Any]) -> str:
    hidden = words.NETS[params["net"]] if params["hidden"] is None else params["hidden"]
    return "" if params["net"] == "linear" else " " + "-".join(map(str, hidden))


def _prior_notes(params: dict[str, Any]) -> list[str]:
    """What p(z) is, where it is not N(0, I)."""
    word = params["prior"]
    if word == "normal":
        return []
    return [f"prior {word}" + (f" of {params['components']} components" if word in ("mixture", "vamp") else "")]


def _posterior_notes(params: dict[str, Any], watched: Rows | None, held_out: np.ndarray) -> list[str]:
    """What q is, where it is not one encoder's diagonal normal."""
    word, family = params["posterior"], params["family"]
    if word == "amortized" and family == "diagonal":
        return []
    notes = [f"posterior {word}" + ("" if word == "exact" else f", family {family}")]
    if word == "per-datum" and watched is not None and len(watched) < len(held_out):
        notes.append(
            f"convergence is judged on {len(watched)} of the held-out rows: each has to be optimized from scratch"
        )
    return notes


def _objective_notes(params: dict[str, Any], judged: str | None = None) -> list[str]:
    """What is maximized, with which numbers, where it is not the ELBO."""
    word = params["objective"]
    if word not in MAXIMIZED:
        return []
    what = MAXIMIZED[word].format(**words.numbers_of(word, params))
    judges = (
        "; the ELBO judges the epochs, as when the run began"
        if judged == ELBO.word
        else ", which judges the epochs too"
    )
    return [f"objective {word}: {what}{judges}; what is reported is the bound on log p(x)"]


def _forecast(
    params: dict[str, Any], rows: Rows, latent_dim: int, likelihood: str, seed: int
) -> tuple[int | None, str | None]:
    """How many latents a linear decoder could keep alive, and that in words; nothing is foretold of counts."""
    binary = likelihood == "bernoulli"
    if not binary and words.LIKELIHOODS[likelihood].support is not constraints.real:
        return None, None
    places = torch.arange(0, len(rows), max(1, math.ceil(len(rows) / FORECAST_ROWS)))
    with drawing_from(stream(seed, "forecast")):
        x = rows.at(places, torch.float64).x
    fixed = likelihood == "normal" and not isinstance(params["scale"], str)
    found = forecast(x, latent_dim, float(params["scale"]) if fixed else None, binary=binary)
    of = "" if len(places) == len(rows) else f" (from {len(places)} rows)"
    return found.alive, f"collapse forecast{of}: {_said(found, latent_dim)}"


def _said(found: Forecast, latent_dim: int) -> str:
    what = f"{found.alive} of {latent_dim} latents can survive under a linear decoder"
    if found.alive:
        return f"{what}: {found.alive} eigenvalues of the {found.matrix} exceed {found.threshold:.4g} ({found.why})"
    remedy = "; scale shared would learn sigma" if found.why == "scale^2" else ""
    return (
        f"no latent can survive under a linear decoder, since the largest eigenvalue of the {found.matrix}, in model "
        f"units, is {found.largest:.3f}, below {found.threshold:.4g} ({found.why}){remedy}"
    )
