"""minamo fit."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minamo.cli import arguments as a

if TYPE_CHECKING:
    from minamo.cli.tracking import Tracking
    from minamo.data import Dataset, Rows
    from minamo.estimator import VAE
    from minamo.plan import Plan
    from minamo.report import Served
    from minamo.run import Run
    from minamo.training import State

SAVE_EVERY = 5.0
"""Seconds between checkpoints: what a crash costs, beside the epoch it falls in."""
SHOWN = 64
"""Samples in the picture of a run."""
PAIRS = 32
"""Data beside their reconstructions in the picture of a run."""


NO_PARAMETERS = ("source", "output", "config", "refit", "resume", "tracker")
"""Arguments of the command that are none of the model's."""


def option(words: str, *names: str) -> Any:
    """An option whose default stands in one place: the signature of VAE."""
    return typer.Option(*names, help=words, show_default=False)


def fit(
    source: Annotated[str | None, typer.Argument(metavar="SOURCE", help=a.SOURCE_HELP, show_default=False)] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="RUN", help="The folder of the run.")] = None,
    likelihood: Annotated[str | None, option("auto, normal, bernoulli, poisson, ...: see the README.")] = None,
    scale: Annotated[
        str | None, option("sigma of a normal likelihood: a number, shared (learned) or analytic.")
    ] = None,
    prior: Annotated[str | None, option("normal, mixture, vamp, coupling or autoregressive.")] = None,
    components: Annotated[int | None, option("Of a mixture or vamp prior; default 500.")] = None,
    weighted: Annotated[bool | None, option("A vamp prior learns the weights of its components.", "--weighted")] = None,
    posterior: Annotated[str | None, option("amortized, semi-amortized, per-datum or exact.")] = None,
    family: Annotated[str | None, option("Of q: diagonal, full-covariance or flow.")] = None,
    posterior_steps: Annotated[int | None, option("Gradient steps on q for each row of a batch.")] = None,
    objective: Annotated[
        str | None, option("What training maximizes: elbo, iwae, dreg, beta, free-bits or capacity.")
    ] = None,
    beta: Annotated[float | None, option("Weight of the KL (beta; default 4), or of its distance to capacity.")] = None,
    free_bits: Annotated[float | None, option("Nats that each latent has at no price; default 0.1.")] = None,
    capacity: Annotated[float | None, option("Nats that the KL is led to; default 25.")] = None,
    draws: Annotated[int | None, option("Draws of z for every row of a step.")] = None,
    latent_dim: Annotated[int | None, option("Latents; default 32, fewer for few columns.", "--latent")] = None,
    net: Annotated[str | None, option("mlp, gated, residual, conv, residual-conv or linear.")] = None,
    hidden: Annotated[str | None, option("Widths of the encoder's hidden layers, or channels: 400,400.")] = None,
    binarize: Annotated[str | None, option("none, dynamic or fixed.")] = None,
    preprocess: Annotated[str | None, option("auto, none or standardize.")] = None,
    validation: Annotated[float | None, option("Rows held out: a share below 1, or a number; 0 for none.")] = None,
    batch_size: Annotated[int | None, option("Rows in a gradient step.", "--batch")] = None,
    learning_rate: Annotated[float | None, option("Adam's, before it falls at a plateau.")] = None,
    clip: Annotated[float | None, option("The largest norm of a step's gradient; a longer one is shortened.")] = None,
    max_epochs: Annotated[int | None, option("A cap; the run stops by itself.")] = None,
    patience: Annotated[int | None, option("Epochs without a clear improvement that make a plateau.")] = None,
    schedule: Annotated[str | None, option("Of the learning rate: plateau, or cosine over max-epochs.")] = None,
    warmup: Annotated[int | None, option("Epochs in which the weight of the KL rises to 1.")] = None,
    compile: Annotated[str | None, option("auto, on or off: one compiled training step.")] = None,
    precision: Annotated[
        str | None, option("Of large matrix products in training: auto, float32, bf16 or, on a card, tf32.")
    ] = None,
    device: Annotated[
        str | None, option("cpu, cuda (or cuda:1, ...), a graphics card, or auto: one if it is here.")
    ] = None,
    random_state: Annotated[int | None, option("Of split, weights and noise.", "--seed")] = None,
    config: Annotated[Path | None, option("A JSON object of VAE parameters, or the config.json of a run.")] = None,
    refit: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Take decoder and encoder of this run, and fit --prior to its latents.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Show the log, live, in tensorboard (RUN/tensorboard) or mlflow (MLFLOW_TRACKING_URI, else mlflow.db "
            "and mlruns in this folder; experiment MLFLOW_EXPERIMENT_NAME, else minamo). May be given more than once.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Fit a variational autoencoder until its validation ELBO has stopped improving."""
    given = {k: v for k, v in locals().items() if k not in NO_PARAMETERS and v is not None}
    if output is None:
        from minamo.errors import ConfigError

        raise ConfigError("say where the run goes: -o FOLDER")
    from minamo.cli.tracking import Tracking, stored_trackers, trackers
    from minamo.run import Run
    from minamo.training import fast_cpu

    kinds = trackers(tracker or [])
    if resume and not tracker:
        kinds = stored_trackers(Run.open(output).config.get("trackers", []))
    with fast_cpu():
        if resume:
            run, vae, plan, state = _reopen(output, source, given, config or refit)
        elif refit is not None:
            run, vae, plan, state = _refit(output, source, given, refit, config)
        else:
            run, vae, plan, state = _begin(output, source or "digits", given, config)
        if tracker:
            run.record({**run.config, "trackers": tracker})
        with Tracking(run, kinds) as tracking:
            return _train(run, vae, plan, state, tracking)


def _begin(
    output: Path, source: str, given: dict[str, Any], config: Path | None
) -> tuple[Run, VAE, Plan, State | None]:
    """Check everything, then write the first file."""
    from minamo.data import load
    from minamo.estimator import VAE
    from minamo.run import Run

    Run.refuse_occupied(output)
    vae = VAE(**{**_from_file(config), **_parsed(given)})
    plan = _planned(vae, load(source))
    return Run.create(output, _record(source, plan)), vae, plan, None


def _refit(
    output: Path, source: str | None, given: dict[str, Any], fitted: Path, config: Path | None
) -> tuple[Run, VAE, Plan, State | None]:
    """Begin a run in which only the prior is learned."""
    from minamo.data import load
    from minamo.errors import ConfigError
    from minamo.run import Run

    if config is not None:
        raise ConfigError("--refit takes the options of that run; leave out --config")
    Run.refuse_occupied(output)
    before = a.open_model(fitted)
    source = source or str(Run.open(fitted).config["source"])
    vae, plan = before.refit_plan(load(source), _parsed(given))
    _tell(vae, plan)
    return Run.create(output, _record(source, plan)), vae, plan, None


def _reopen(
    output: Path, source: str | None, given: dict[str, Any], config: Path | None
) -> tuple[Run, VAE, Plan, State | None]:
    """Take up a run where its last checkpoint left it."""
    import torch

    from minamo.data import load
    from minamo.errors import ConfigError, RunError
    from minamo.estimator import VAE
    from minamo.plan import going_on, with_prior_alone
    from minamo.run import Run
    from minamo.training import device_for

    run = Run.open(output)
    stored = run.config
    may = {"max_epochs", "device"} | ({"precision"} if "device" in given else set())
    extra = sorted(set(given) - may)
    if extra or config:
        left = ", ".join(extra) or "--config and --refit"
        raise ConfigError(f"a run goes on with the options it began with; leave out {left}")
    params = {k: tuple(v) if isinstance(v, list) else v for k, v in stored["params"].items()}
    vae = VAE(**{**params, **given})
    name = source or stored["source"]
    there, here = stored.get("device", "cpu"), str(device_for(vae.device))
    # Another device takes another step.
    plan = vae.plan(load(name), stored.get("engine") if there == here else None)
    if stored.get("ex_post"):
        plan = with_prior_alone(plan)
    if plan.description["fingerprint"] != stored["fingerprint"]:
        raise RunError(f"{name} is not the data this run began with (its fingerprint differs)")
    state = run.checkpoint(plan.model)
    if stored.get("ex_post") and state is None:
        raise RunError(f"{output} was stopped before it had taken over decoder and encoder: begin it anew with --refit")
    if state is not None:
        plan = going_on(plan, state)
    if given or there != here:
        run.record({**stored, **{key: plan.description[key] for key in ("params", "engine", "device")}})
    run.rewind(state.epoch if state else 0)
    print(f"{output}: going on after epoch {state.epoch if state else 0}", file=sys.stderr)
    if torch.get_num_threads() != stored["threads"]:
        then, now = stored["threads"], torch.get_num_threads()
        print(f"note: begun with {then} threads, going on with {now}: equal in law, not to the bit", file=sys.stderr)
    if there != here:
        print(f"note: begun on device {there}, going on on {here}: equal in law, not to the bit", file=sys.stderr)
    return run, vae, plan, state


def _train(run: Run, vae: VAE, plan: Plan, state: State | None, tracking: Tracking) -> int:
    from minamo.cli.progress import Progress
    from minamo.errors import TrainingError
    from minamo.training import DROPS, State

    if state is None:
        state = State.beginning(plan.model, plan.settings, plan.watch_name)
        run.save(state, plan.description)
    saved = time.monotonic()
    finished = False
    try:
        with Progress(plan.settings, DROPS) as progress:
            for now in vae.train(plan, state):
                state = now
                run.log(state.record)
                progress.show(state)
                if time.monotonic() - saved > SAVE_EVERY:
                    run.save(state, plan.description)
                    tracking.follow()
                    saved = time.monotonic()
        finished = True
    except KeyboardInterrupt:
        print(f"minamo: stopped after epoch {state.epoch}; minamo fit -o {run.path} --resume goes on", file=sys.stderr)
        tracking.begin()
    except TrainingError as error:
        raise TrainingError(f"{error}; the run is in {run.path}") from error
    finally:
        run.save(state, plan.description)
        tracking.follow()
    if not finished:
        return a.INTERRUPTED
    tracking.finish(_finish(run, vae, plan, state))
    return 0


def _finish(run: Run, vae: VAE, plan: Plan, state: State) -> dict[str, Any]:
    """Measure the fitted model and draw its pictures; what was measured is returned."""
    from minamo.cli.evidence import show
    from minamo.plan import floor_note

    if state.stopped:
        why = f"converged: no clear improvement since epoch {state.epoch - state.plateau.since}, at three step sizes"
    elif vae.schedule == "cosine":
        why = f"the schedule has ended, after {state.epoch} epochs"
    else:
        why = f"stopped by the cap of {plan.settings.max_epochs} epochs; --resume with a larger --max-epochs goes on"
    print(f"{why}; best weights from epoch {state.best_epoch}, {state.record['seconds']:.0f} s", file=sys.stderr)
    floor = floor_note(plan.model)
    if floor:
        print(f"warning: {floor}", file=sys.stderr)
    found = vae.evidence(_shown_rows(vae, plan))
    measured = {**found.to_json(), "epochs": state.epoch}
    run.save_evidence(measured)
    _draw(run, vae, plan, state)
    _report(run, vae, plan, measured)
    show(found, f"{plan.watch_name} rows")
    print(f"{run.path}: " + ", ".join(sorted(p.name for p in run.path.iterdir() if not p.name.startswith("."))))
    return measured


def _draw(run: Run, vae: VAE, plan: Plan, state: State) -> None:
    from minamo.files import write_atomically
    from minamo.priors import Vamp
    from minamo.report import curves, grid, pairs
    from minamo.run import CURVES, PSEUDO_INPUTS, RECONSTRUCTIONS, SAMPLES

    history, pictures = run.history(), {}
    if history:
        pictures[CURVES] = curves(history, state.best_epoch)
    if a.is_picture(vae):
        shape = vae.schema_.shape
        rows = _shown_rows(vae, plan).first(PAIRS)
        x, again, new = (a.intensities(vae, v) for v in (vae.seen(rows), vae.reconstruct(rows), vae.sample(SHOWN)))
        pictures[SAMPLES] = grid(new, shape)
        pictures[RECONSTRUCTIONS] = pairs(x, again, shape)
        if isinstance(vae.model_.prior, Vamp):
            u = vae.prepare_.to_data(vae.model_.prior.heaviest(SHOWN)).numpy()
            pictures[PSEUDO_INPUTS] = grid(a.intensities(vae, u), shape)
    for name, content in pictures.items():
        write_atomically(run.place(name), lambda file, content=content: file.write(content))


def _report(run: Run, vae: VAE, plan: Plan, measured: dict[str, Any]) -> None:
    """Write the page; what cannot be made is said in it, and no fit fails for the sake of a page."""
    from minamo.files import write_atomically
    from minamo.report import Opened, render, summarize
    from minamo.run import REPORT

    try:
        found = Opened(run.path, run.config, run.history(), vae, _served(run, vae, plan))
        page = render(summarize(found, measured)).encode()
        write_atomically(run.place(REPORT), lambda file: file.write(page))
    except Exception as error:
        print(f"note: {REPORT} could not be written ({error}); minamo report {run.path} tries again", file=sys.stderr)


def _served(run: Run, vae: VAE, plan: Plan) -> Served:
    """The rows that a report looks at, from the data that are in memory already."""
    import numpy as np

    from minamo.data import Rows
    from minamo.data.labels import labels
    from minamo.randomness import stream
    from minamo.report.opened import Served, spread_rows, thin

    part, n = vae.description_["data"]["part"], len(plan.rows.x)
    some = Rows(plan.rows.x, plan.rows.prepare, thin(np.arange(n), spread_rows(vae)), own=True)
    spread = some.drawn_once(stream(vae.seed_, "binarize", part))
    return Served(_shown_rows(vae, plan), plan.watch_name, spread, labels(run.config["source"], part, n))


def _shown_rows(vae: VAE, plan: Plan) -> Rows:
    """The held-out rows, or the training rows where none are held out, with binarization drawn once."""
    from minamo.randomness import stream

    if plan.watched is not None:
        return plan.watched
    return plan.rows.drawn_once(stream(vae.seed_, "binarize", vae.description_["data"]["part"]))


def _planned(vae: VAE, data: Dataset) -> Plan:
    """Plan, and print what was chosen and why."""
    plan = vae.plan(data)
    _tell(vae, plan)
    return plan


def _tell(vae: VAE, plan: Plan) -> None:
    for note in vae.notes_:
        print(note, file=sys.stderr)
    for warning in plan.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _record(source: str, plan: Plan) -> dict[str, Any]:
    """config.json: what repeats the run."""
    import platform

    import torch

    import minamo

    return {
        "minamo": minamo.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "command": shlex.join(["minamo", *sys.argv[1:]]),
        "source": a.absolute(source),
        **plan.description,
    }


def _parsed(given: dict[str, Any]) -> dict[str, Any]:
    """Turn the text of --scale and --hidden into values."""
    from minamo.errors import ConfigError

    parsed = dict(given)
    if "scale" in given:
        parsed["scale"] = _scale(given["scale"])
    if "hidden" in given:
        try:
            parsed["hidden"] = tuple(int(w) for w in given["hidden"].split(",") if w)
        except ValueError:
            raise ConfigError(f"--hidden takes widths such as 400,400, got '{given['hidden']}'") from None
    return parsed


def _scale(text: str) -> float | str:
    from minamo.words import SCALES, check

    try:
        return float(text)
    except ValueError:
        check("scale", text, [*SCALES, "a positive number"])
        return text


def _from_file(config: Path | None) -> dict[str, Any]:
    """Read VAE parameters from a JSON file."""
    from minamo.errors import ConfigError, unknown
    from minamo.estimator import VAE

    if config is None:
        return {}
    try:
        stored = json.loads(config.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{config} is not a JSON file that can be read: {error}") from error
    if not isinstance(stored, dict):
        raise ConfigError(f"{config} must hold one JSON object of VAE parameters")
    stored = stored.get("params", stored)
    if not isinstance(stored, dict):
        raise ConfigError(f"{config} must hold one JSON object of VAE parameters")
    known = list(VAE().get_params())
    for name in stored:
        if name not in known:
            raise unknown("parameter", name, known)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
