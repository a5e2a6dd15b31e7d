"""The training loop, readable from top to bottom."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from minamo.data import Rows
from minamo.errors import TrainingError, first_line
from minamo.evidence import PerDatum, evaluate
from minamo.likelihoods import Normal
from minamo.model import LatentVariableModel
from minamo.objectives import sticking_the_landing
from minamo.randomness import drawing_from, stream
from minamo.training.adam import Adam
from minamo.training.compiled import CompiledStep
from minamo.training.device import computing_on, wait_for
from minamo.training.judge import ELBO, Judge
from minamo.training.state import Settings, State, copied
from minamo.training.step import EagerStep, Objective, Step

AVERAGE = 0.999
"""Decay of the moving average of the weights, after a warm-up: the average is what is judged and kept."""
FOLLOW_EVERY = 8
"""Steps between two moves of the average, once it has begun: one in eight costs an eighth of the memory traffic."""
NOISE_AT_ONCE = 2**20
"""Numbers of noise that are drawn at one time, 4 MB."""
DROPS = 2
"""The learning rate falls this often before a plateau means convergence..."""
DROP = 0.1
"""...by this factor. It falls once more, by the same, after a non-finite bound."""


def train(
    model: LatentVariableModel,
    rows: Rows,
    watched: Rows | None,
    settings: Settings,
    state: State | None = None,
    watch_name: str = "validation",
    objective: Objective = sticking_the_landing,
    judge: Judge = ELBO,
) -> Generator[State]:
    """Maximize an objective over `rows` by Adam until it has stopped improving on `watched`.

    A moving average of the weights is judged, kept and used: it is free of the noise of the last steps,
    so slow improvements still show while the steps are large.

    Yields the state after every epoch; the caller's loop body is the callback. The model holds the best
    weights once the generator has ended, in whichever way.

    Args:
        model: trained in place.
        rows: the training rows.
        watched: rows on which convergence is judged, fixed (see `Rows.drawn_once`); None with
            `settings.patience=None` trains without judging.
        settings: how to train.
        state: where to go on from.
        watch_name: what `watched` are, a prefix in the log: "validation" or "training".
        objective: the bound whose gradient is followed.
        judge: the same of every watched row: what a plateau and the best epoch are judged by.

    Raises:
        TrainingError: the bound was not finite a second time; the last state yielded is intact.
    """
    adam = Adam(model, settings.clip)
    if state is None:
        state = State.beginning(model, settings, watch_name)
    if not state.epoch:
        state = replace(state, judged=judge.word)
    elif state.judged == ELBO.word:
        # A run that was begun when the ELBO judged everything goes on so.
        judge = ELBO
    # Buffers are shared: a table of per-datum parameters has no average, and is not kept twice.
    average = copy.deepcopy(model, {id(b): b for b in model.buffers()}).requires_grad_(False).eval()
    model.train()
    started = time.perf_counter() - state.record.get("seconds", 0.0)
    state.put_back(model, average, adam)
    if settings.fitted and not state.epoch:
        state = _judged(state, _watch(average, watched, settings.seed, judge.k), judge)
    with computing_on(rows.device, settings.engine.precision):
        step, note = _step(model, rows, adam, objective, settings)
    try:
        while state.stopped is None and state.epoch < settings.max_epochs:
            result = _epoch(model, average, step, rows, watched, settings, state.epoch + 1, state.learning_rate, judge)
            problem, fallen = result.problem(model), result.fallen(state, settings.schedule.warmup)
            if problem or fallen:
                state, note = _recover(state, problem, fallen)
                state.put_back(model, average, adam)
                continue
            rate = state.learning_rate
            state = _advance(state, result, model, average, adam, settings)
            record = {**result.record(state, watch_name), "seconds": time.perf_counter() - started}
            if isinstance(model.likelihood, Normal):
                record["scale"] = float(model.likelihood.scale.detach())
            if note:
                record["note"], note = note, None
            state = replace(state, record=record)
            yield state
            if state.learning_rate != rate:
                state.put_back(model, average, adam)
    finally:
        model.load_state_dict(state.best)
        model.eval()


def _judged(state: State, seen: PerDatum | None, judge: Judge) -> State:
    """The state before the first epoch, its weights judged as those of an epoch are, if they can be."""
    judged = None if seen is None else judge.of(seen)
    if judged is None or not torch.isfinite(judged).all():
        return state
    return replace(state, best_judged=judged.double().mean().item(), plateau=state.plateau.after(judged))


class _Result(NamedTuple):
    """What one epoch gave."""

    epoch: int
    j1: Tensor
    """[N], in the order of the steps, each before its own step."""
    j2: Tensor
    batch_size: int
    log_det: float
    watched: PerDatum | None
    judged: Tensor | None
    """[N watched], nats, higher is better."""
    seconds: float

    def problem(self, model: LatentVariableModel) -> str | None:
        """Name the first term that is not finite, or None."""
        bad = [torch.nonzero(~torch.isfinite(term)) for term in (self.j1, self.j2)]
        first = [int(found[0]) // self.batch_size if len(found) else math.inf for found in bad]
        if min(first) < math.inf:
            # Where both fail at once, a KL that is not finite has made the draw and so the reconstruction fail.
            term = "KL" if first[1] <= first[0] else "reconstruction"
            return f"the {term} term is not finite at epoch {self.epoch}, step {min(first) + 1}"
        if self.watched is not None:
            for term in ("reconstruction", "kl"):
                if not torch.isfinite(getattr(self.watched, term)).all():
                    return f"the {term} term of the watched rows is not finite after epoch {self.epoch}"
        if not all(torch.isfinite(p).all() for p in model.parameters()):
            return f"the weights are not finite after epoch {self.epoch}"
        return None

    @property
    def floor(self) -> tuple[float, ...] | None:
        """Five standard errors below the means of this epoch: ELBO of the training rows, what judges, J1."""
        if self.judged is None or len(self.judged) < 2:
            return None
        of = ((self.j1 - self.j2).double(), self.judged.double(), self.j1.double())
        return tuple(float(each.mean() - 5 * each.std() / len(each) ** 0.5) for each in of)

    def fallen(self, state: State, warmup: int) -> str | None:
        """Say so if this epoch is worse than the first by all accounts: finite, but lost.

        Held-out rows alone may fall like that where a model overfits; and where something else is maximized, the ELBO
        of the training rows with them, but then not J1.
        """
        if state.floor is None or self.judged is None or self.epoch <= warmup:
            return None
        found = [each.double().mean().item() for each in (self.j1 - self.j2, self.judged, self.j1)]
        asked = 2 if state.judged == ELBO.word else 3
        if any(now > low for now, low in zip(found[:asked], state.floor[:asked], strict=True)):
            return None
        return f"epoch {self.epoch} fell below the first one, to {found[0] + self.log_det:.4g} nats per datum"

    def record(self, state: State, watch_name: str) -> dict[str, float]:
        """The line of the log: exact means over all rows, nats per datum in data units."""
        j1 = self.j1.double().mean().item() + self.log_det
        j2 = self.j2.double().mean().item()
        line = {"epoch": self.epoch, "elbo": j1 - j2, "reconstruction": j1, "kl": j2}
        if self.watched is not None:
            for term in ("elbo", "reconstruction", "kl"):
                line[f"{watch_name}_{term}"] = getattr(self.watched, term).double().mean().item()
        if self.judged is not None and state.judged != ELBO.word:
            line[f"{watch_name}_{state.judged}"] = self.judged.double().mean().item()
        line["best_epoch"] = state.best_epoch
        line["waited"] = state.plateau.since
        line["learning_rate"] = state.learning_rate
        line["samples_per_s"] = len(self.j1) / self.seconds
        return line


def _step(
    model: LatentVariableModel, rows: Rows, adam: Adam, objective: Objective, settings: Settings
) -> tuple[Step, str | None]:
    """The step of the engine that was chosen, and a note if it could not be had."""
    if settings.engine.compiled:
        try:
            size, precision = settings.batch_size, settings.engine.precision
            return CompiledStep(model, rows, adam, objective, size, precision, settings.draws), None
        # Whatever stops the compiler (none there, no room for its files, a graph it cannot read), the run can go on.
        except Exception as error:
            reason = first_line(error)
            note = f"the step could not be compiled ({reason}): it runs eagerly"
            return EagerStep(model, rows, adam, objective), note
    return EagerStep(model, rows, adam, objective), None


def _epoch(
    model: LatentVariableModel,
    average: LatentVariableModel,
    step: Step,
    rows: Rows,
    watched: Rows | None,
    settings: Settings,
    epoch: int,
    rate: float,
    judge: Judge,
) -> _Result:
    started = time.perf_counter()
    means: list[Tensor] = list(average.parameters())
    weights: list[Tensor] = list(model.parameters())
    n, size = len(rows), settings.batch_size
    n_steps = math.ceil(n / size)
    before, followed = (epoch - 1) * n_steps, 0
    j1, j2 = torch.empty(2, n, device=rows.device)
    with (
        computing_on(rows.device, settings.engine.precision),
        drawing_from(stream(settings.seed, "epoch", epoch, device=rows.device)),
    ):
        schedule = settings.schedule
        step.begin(rate * schedule.rates(epoch, n_steps), schedule.kl_weights(epoch, n_steps))
        for i, (places, noise) in enumerate(_batches(n, size, settings.draws, model.prior.latent_dim, rows.device)):
            # Copied: what a compiled step returns lies in a block with all that it has passed on.
            some = slice(i * size, (i + 1) * size)
            j1[some], j2[some] = step(places, noise)
            if i + 1 == n_steps or before + i < FOLLOW_EVERY or (before + i) % FOLLOW_EVERY == 0:
                _follow(means, weights, before + i, i + 1 - followed)
                followed = i + 1
        step.end()
    wait_for(rows.device)
    seconds = time.perf_counter() - started
    seen = _watch(average, watched, settings.seed, judge.k)
    judged = None if seen is None else judge.of(seen)
    return _Result(epoch, j1, j2, size, rows.log_det, seen, judged, seconds)


def _batches(n: int, size: int, k: int, latent_dim: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Every place once, in random order, with noise [K, B, latent_dim], drawn for many steps at a time."""
    most = size * max(1, NOISE_AT_ONCE // (size * k * latent_dim))
    for block in torch.randperm(n, device=device).split(most):
        noise = torch.randn(k, len(block), latent_dim, device=device)
        # A compiled step takes its inputs as they lie: in one piece.
        yield from zip(block.split(size), (some.contiguous() for some in noise.split(size, 1)), strict=True)


@torch.no_grad()
def _follow(means: list[Tensor], weights: list[Tensor], step: int, steps: int) -> None:
    """Move the averages towards the weights, once for `steps` steps; early on they forget their beginning fast."""
    decay = min(AVERAGE, (1 + step) / (10 + step)) ** steps
    torch._foreach_lerp_(means, weights, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]


def _watch(model: LatentVariableModel, watched: Rows | None, seed: int, k: int) -> PerDatum | None:
    """The same rows with the same noise after every epoch, so that epochs can be compared in pairs."""
    if watched is None:
        return None
    with computing_on(watched.device), drawing_from(stream(seed, "watch", device=watched.device)):
        return evaluate(model, watched, k)


def _advance(
    state: State,
    result: _Result,
    model: LatentVariableModel,
    average: LatentVariableModel,
    adam: Adam,
    settings: Settings,
) -> State:
    """The state after an epoch: snapshot, best weights, plateau, learning rate."""
    weights = copied(model.state_dict())
    learned = {name for name, _ in model.named_parameters()}
    # What is shared is copied once.
    mean = {k: v.clone() if k in learned else weights[k] for k, v in average.state_dict().items()}
    floor = state.floor if state.epoch else result.floor
    state = replace(state, epoch=result.epoch, weights=weights, average=mean, moments=adam.tensors(), floor=floor)
    if result.judged is None:
        state = replace(state, best=mean, best_epoch=result.epoch)
    else:
        found = result.judged.double().mean().item()
        if found > state.best_judged:
            state = replace(state, best=mean, best_judged=found, best_epoch=result.epoch)
        plateau = state.plateau.after(result.judged)
        # While the weight of the KL still rises no plateau is one.
        state = replace(
            state, plateau=replace(plateau, since=plateau.since * (result.epoch > settings.schedule.warmup))
        )
    if settings.patience is not None and state.plateau.since >= settings.patience:
        if state.drops == DROPS:
            return replace(state, stopped="converged")
        state = state.with_best_weights(state.learning_rate * DROP)
    return state


def _recover(state: State, problem: str | None, fallen: str | None) -> tuple[State, str]:
    """Go back to the last good state with a smaller step, once; and say so. After a fall that is the best state."""
    if state.recovered:
        raise TrainingError(
            f"{problem or fallen}, and had happened before: training stopped, the best weights are those of epoch "
            f"{state.best_epoch}; try a smaller learning rate, or look for extreme values in the data"
        )
    smaller = state.learning_rate * DROP
    back = state.epoch
    if not problem:
        # What made it fall is in the moments, too.
        back, plateau = state.best_epoch, replace(state.plateau, since=0)
        state = replace(state, weights=state.best, average=state.best, moments={}, plateau=plateau)
    note = f"{problem or fallen}; back to epoch {back} with learning rate {smaller:g}"
    return replace(state, recovered=True, learning_rate=smaller), note
