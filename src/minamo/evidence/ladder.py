"""What each step away from the exact posterior costs: log p - ELBO, split and measured datum by datum.

log p(x) - ELBO(q) = [log p(x) - max ELBO over the family]  +  [max ELBO over the family - ELBO(q)]
                     approximation gap                         amortization gap

"Inference Suboptimality in Variational Autoencoders" (Cremer, Li, Duvenaud, 2018).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minamo.batch import Batch, Source
from minamo.distributions import closed_form_kl
from minamo.evidence.bounds import chunks, rows_at_once
from minamo.evidence.measures import Measure
from minamo.families import Diagonal, Family, FullCovariance
from minamo.model import LatentVariableModel
from minamo.posteriors import Amortized, Exact, Optimized, PerDatum, Posterior, SemiAmortized

ROWS_AT_ONCE = 256
"""Rows whose q are optimized together: enough for efficient products."""
NATS = "nats/datum"


@dataclass(frozen=True)
class Rung:
    """One way to choose q(z|x), the model held fixed."""

    posterior: str
    family: str
    elbo: Measure
    """E_q[log p(x, z) - log q(z|x)]."""
    kl: Measure
    """KL(q(z|x) || p(z))."""
    inference_gap: Measure
    """log p - ELBO: the sum of the two below."""
    approximation_gap: Measure | None
    """log p less the ELBO of the best member of the family: of what "per-datum" found, so an upper bound where the
    posterior has several hills. A flow's context is the encoder's. None where the best was not sought."""
    amortization_gap: Measure | None
    """The ELBO of the best member of the family less the ELBO."""
    time: Measure
    """From x to q, on this machine."""
    steps: Measure
    """Gradient steps from x to q."""
    left: Measure | None
    """What the gradient still promised where it was followed to its end: the rung's distance from the best member."""


@dataclass(frozen=True)
class Gaps:
    """The rungs side by side: same data, same noise."""

    log_p: Measure
    by: str
    """What stands for log p: the tightest bound found, or "exact posterior"."""
    rungs: tuple[Rung, ...]

    def to_json(self) -> dict[str, Any]:
        """Return `{"log_p": {..., "by"}, "rungs": [{"posterior", "family", "elbo": {...}, ...}, ...]}`."""
        return {"log_p": {**self.log_p.to_json(), "by": self.by}, "rungs": [_plain(rung) for rung in self.rungs]}

    def __str__(self) -> str:
        """A table in plain text: nats per datum, ± standard error."""
        lines: list[tuple[str, ...]] = [
            ("posterior, family of q", "ELBO", "KL", "log p - ELBO", "= approximation", "+ amortization", "ms")
        ]
        for r in self.rungs:
            parts = ["-" if m is None else _short(m) for m in (r.approximation_gap, r.amortization_gap)]
            name = f"{r.posterior}, {r.family}" if r.family != r.posterior else r.posterior
            numbers = (f"{r.elbo.value:.2f}", f"{r.kl.value:.2f}", _short(r.inference_gap), *parts)
            lines.append((name, *numbers, f"{r.time.value:.2f}"))
        wide = [max(len(line[i]) for line in lines) for i in range(7)]
        table = [
            f"{first:<{wide[0]}}  " + "  ".join(f"{c:>{w}}" for c, w in zip(rest, wide[1:], strict=True))
            for first, *rest in lines
        ]
        left = ", ".join(f"{_short(r.left)} ({r.family})" for r in self.rungs if r.left is not None)
        return "\n".join(
            [
                *table,
                f"log p {self.log_p} nats/datum: {self.by}",
                f"per-datum stopped where the gradient promised {left}",
            ]
        )


class _Terms(NamedTuple):
    """What is known of one rung, [N], float64."""

    elbo: Tensor
    kl: Tensor
    iwae: Tensor
    steps: Tensor
    left: Tensor


def gaps(
    model: LatentVariableModel, source: Source, k: int, *, progress: Callable[[int], object] | None = None
) -> Gaps:
    """Measure every rung that the model allows, on every row of `source`; densities are over its data units.

    The model's own posterior; an encoder followed by 5 gradient steps; per datum the best member of the same
    family, and of the full-covariance family. log p is the IWAE-k of the rung where its mean is highest, or exact where
    the posterior is.

    Args:
        model: held fixed; draws come from torch's generator in force (see `randomness.drawing_from`).
        source: the rows.
        k: draws of z for each row and rung.
        progress: called with the number of rows done, now and then.
    """
    ladder = rungs_of(model)
    n = len(source)
    terms = [_Terms(*torch.empty(5, n, dtype=torch.float64)) for _ in ladder]
    seconds = [0.0] * len(ladder)
    done = 0
    for batch in source.batches(min(ROWS_AT_ONCE, rows_at_once(model, k, source.n_columns))):
        rows = slice(done, done + len(batch.x))
        for i, part in enumerate(_measure(model, ladder, batch, k, seconds)):
            for total, values in zip(terms[i], part, strict=True):
                total[rows] = values
        done = rows.stop
        if progress:
            progress(done)
    terms = [t._replace(elbo=t.elbo + source.log_det, iwae=t.iwae + source.log_det) for t in terms]
    return _side_by_side(ladder, terms, [s / n for s in seconds], k)


def rungs_of(model: LatentVariableModel) -> list[Posterior]:
    """The posteriors to compare, the model's own first."""
    own, latent_dim = model.posterior, model.prior.latent_dim
    family = getattr(own, "family", None) or Diagonal(latent_dim)
    assert isinstance(family, Family)
    start = own.params if isinstance(own, Amortized) else None
    ladder: list[Posterior] = [own]
    if type(own) is Amortized:
        ladder.append(SemiAmortized(own.net, family).eval())
    ladder.append(Optimized(family, start))
    if not isinstance(family, FullCovariance):
        full = FullCovariance(latent_dim)
        near = start is not None and isinstance(family, Diagonal)
        ladder.append(Optimized(full, (lambda x: full.from_diagonal(own.params(x))) if near else None))  # type: ignore[operator]
    return ladder


@torch.no_grad()
def _measure(
    model: LatentVariableModel, ladder: list[Posterior], batch: Batch, k: int, seconds: list[float]
) -> list[_Terms]:
    """The terms of every rung for one batch; `seconds` gains the time that its q took."""
    found = []
    for i, posterior in enumerate(ladder):
        started = time.perf_counter()
        found.append(posterior(batch, model.log_joint(batch)))
        seconds[i] += time.perf_counter() - started
    n, dtype = len(batch.x), batch.x.dtype
    log_w, log_ratio = torch.empty(2, len(ladder), k, n, dtype=dtype)
    for some in chunks(model, k, batch):
        noise = torch.randn(some.stop - some.start, n, model.prior.latent_dim, dtype=dtype)
        for i, q in enumerate(found):
            draw = model.draw(batch, len(noise), noise=noise, q=q)
            log_w[i, some], log_ratio[i, some] = draw.log_w, draw.log_qz - draw.log_pz
    terms = []
    for i, (posterior, q) in enumerate(zip(ladder, found, strict=True)):
        kl, zero = closed_form_kl(q, model.prior()), torch.zeros(n)
        left = getattr(posterior, "left", None)
        terms.append(
            _Terms(
                log_w[i].mean(0),
                log_ratio[i].mean(0) if kl is None else kl,
                torch.logsumexp(log_w[i], 0) - math.log(k),
                zero if posterior.steps is None else posterior.steps,
                zero if left is None else left,
            )
        )
    return terms


def _side_by_side(ladder: list[Posterior], terms: list[_Terms], seconds: list[float], k: int) -> Gaps:
    exact = [i for i, posterior in enumerate(ladder) if isinstance(posterior, Exact)]
    tightest = max(range(len(ladder)), key=lambda i: float(terms[i].iwae.mean()))
    log_p = terms[exact[0]].elbo if exact else terms[tightest].iwae
    by = "exact posterior" if exact else f"iwae-{k} with {' '.join(_words(ladder[tightest]))}"
    best = {p.family.name: t.elbo for p, t in zip(ladder, terms, strict=True) if isinstance(p, Optimized)}
    rungs = []
    for posterior, t, s in zip(ladder, terms, seconds, strict=True):
        word, family = _words(posterior)
        top = t.elbo if isinstance(posterior, Exact) else best.get(family)
        rungs.append(
            Rung(
                posterior=word,
                family=family,
                elbo=Measure.mean_of(t.elbo, NATS),
                kl=Measure.mean_of(t.kl, NATS),
                inference_gap=Measure.mean_of(log_p - t.elbo, NATS),
                approximation_gap=None if top is None else Measure.mean_of(log_p - top, NATS),
                amortization_gap=None if top is None else Measure.mean_of(top - t.elbo, NATS),
                time=Measure(1000 * s, None, len(t.elbo), "ms/datum"),
                steps=Measure.mean_of(t.steps, "gradient steps/datum"),
                left=Measure.mean_of(t.left, NATS) if isinstance(posterior, Optimized) else None,
            )
        )
    return Gaps(Measure.mean_of(log_p, NATS), by, tuple(rungs))


def _words(posterior: Posterior) -> tuple[str, str]:
    """The names of a posterior and of its family; the table of a per-datum one is told from what is found afresh."""
    word = "per-datum, as trained" if isinstance(posterior, PerDatum) else posterior.name
    family = getattr(posterior, "family", None)
    return word, family.name if isinstance(family, Family) else "exact"


def _short(measure: Measure) -> str:
    """Value ± se without spaces."""
    return str(measure).replace(" ", "")


def _plain(rung: Rung) -> dict[str, Any]:
    values = {f.name: getattr(rung, f.name) for f in fields(rung)}
    return {name: v.to_json() if isinstance(v, Measure) else v for name, v in values.items()}
