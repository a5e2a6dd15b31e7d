"""Numbers as they are reported: value, standard error, count, unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from minamo.evidence.bounds import PerDatum
from minamo.evidence.collapse import active_units
from minamo.evidence.pareto import UNRELIABLE
from minamo.evidence.weights import Weighed
from minamo.likelihoods import Likelihood, Normal

SHOWN = 16
"""Latents whose KL is printed."""
ALSO = {"reconstruction": "reconstruction = -distortion", "kl": "kl = rate"}
"""Measures with two names."""


@dataclass(frozen=True)
class Measure:
    """A number with its standard error (None: none is meant), the data behind it, and its unit."""

    value: float
    se: float | None
    n: int
    unit: str

    @classmethod
    def mean_of(cls, values: Tensor, unit: str) -> Measure:
        """The mean over data [N], with the standard error of that mean over data and draws."""
        v = values.double()
        se = float(v.std() / math.sqrt(len(v))) if len(v) > 1 else None
        return cls(float(v.mean()), se, len(v), unit)

    def scaled(self, by: float, unit: str) -> Measure:
        """The same quantity in another unit."""
        return Measure(self.value * by, None if self.se is None else self.se * abs(by), self.n, unit)

    def to_json(self) -> dict[str, Any]:
        """Return `{"value", "se", "n", "unit"}`."""
        return {f.name: _json(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Measure:
        """Rebuild a measure from `to_json`, whatever stands beside it there; what was not finite is NaN."""
        value = math.nan if stored["value"] is None else stored["value"]
        return cls(value, stored["se"], stored["n"], stored["unit"])

    def __str__(self) -> str:
        """Value ± se, to the digit the error allows."""
        if self.se is None or not math.isfinite(self.se):
            return f"{self.value:.6g}"
        digits = max(0, 1 - math.floor(math.log10(self.se))) if self.se > 0 else 3
        return f"{self.value:.{digits}f} ± {self.se:.{digits}f}"


@dataclass(frozen=True)
class Evidence:
    """What is known of log p(x) under a fitted model, on some data."""

    elbo: Measure
    """J1 - J2."""
    reconstruction: Measure
    """J1 = E_q[log p(x|z)]: the distortion with its sign turned."""
    kl: Measure
    """J2 = KL(q(z|x) || p(z)): the rate."""
    iwae: Measure
    """The importance-weighted bound with `samples` draws: tighter than the ELBO."""
    bits_per_dim: Measure
    """-iwae / (D log 2)."""
    active_units: Measure
    """Latents with Var_x(E_q[z]) > 0.01."""
    mutual_information: Measure
    """Between a row's number and its latent, I(n; z), at most log N; of 1000 rows at equal distances."""
    kl_per_latent: tuple[float, ...]
    """Mean KL(q(z_j|x) || p(z_j)) of each latent alone, nats; empty where the family does not know it."""
    samples: int
    """K, the draws of z for each datum."""
    reference: str
    """The measure that the density is with respect to."""
    scale: Measure | None = None
    """sigma of a Normal likelihood."""
    var: Measure | None = None
    """sigma^2 of a Normal likelihood."""
    forecast_units: Measure | None = None
    """How many latents a linear decoder could keep alive, as foretold before training."""
    steps: Measure | None = None
    """Gradient steps that q took for each datum, where it takes any."""
    ex_post: str | None = None
    """The prior's name, where it was fitted after training: the numbers are of another model than was trained."""
    marginal_kl: Measure | None = None
    """KL(q(z) || p(z)) of the aggregated posterior of the same rows: with the mutual information, their rate."""
    effective_samples: Measure | None = None
    """Effective number of the `samples` draws, by their importance weights."""
    pareto_k: Measure | None = None
    """Mean shape of the tail of the importance weights; None where there are too few draws."""
    unreliable: Measure | None = None
    """Share of data with a shape above 0.7, whose IWAE says little about log p."""
    bounds: dict[int, Measure] = field(default_factory=dict)
    """IWAE-k for every k that was asked for; `iwae` is that of the largest."""
    arithmetic: str = "float32"
    """Of the matrix products, and what it costs where it is less than float32."""
    by_row: Tensor | None = field(default=None, compare=False, repr=False)
    """`iwae` of every row, [N], float64."""

    @property
    def measures(self) -> dict[str, Measure]:
        """Every measure by name, in the order above."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: m for name, m in found.items() if isinstance(m, Measure)}

    @property
    def shown(self) -> list[tuple[str, Measure]]:
        """Every measure as it stands in a table: with its other names, and a line for each IWAE-k."""
        rows = []
        for name, measure in self.measures.items():
            if name == "iwae":
                bounds = self.bounds or {self.samples: measure}
                rows += [(f"iwae-{k}", bounds[k]) for k in sorted(bounds)]
            else:
                rows.append((ALSO.get(name, name), measure))
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return `{name: {"value", "se", "n", "unit"}}` and, beside them, `samples`, `bounds` and `reference`."""
        plain = {name: measure.to_json() for name, measure in self.measures.items()}
        return {
            **plain,
            "bounds": {f"iwae-{k}": m.to_json() for k, m in sorted(self.bounds.items())},
            "kl_per_latent": list(self.kl_per_latent),
            "samples": self.samples,
            "reference": self.reference,
            "ex_post": self.ex_post,
            "arithmetic": self.arithmetic,
        }

    def __str__(self) -> str:
        """A table in plain text."""
        rows = [(name, str(m), m.unit) for name, m in self.shown]
        wide = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = [f"{name:<{wide[0]}}  {number:>{wide[1]}}  {unit}" for name, number, unit in rows]
        return "\n".join([*lines, *self.remarks])

    @property
    def remarks(self) -> list[str]:
        """What stands below a table of the measures."""
        parts = sorted(self.kl_per_latent, reverse=True)
        shown = " ".join(f"{v:.2f}" for v in parts[:SHOWN]) + (f" and {len(parts) - SHOWN} more" * (len(parts) > SHOWN))
        latents = [f"KL of each latent, largest first: {shown}"] if parts else []
        return [
            *latents,
            *self._warnings,
            f"{self.elbo.n} data; densities with respect to {self.reference}; {self.arithmetic}",
        ]

    @property
    def _warnings(self) -> list[str]:
        told = []
        if self.ex_post:
            told.append(
                f"p(z) is a prior ({self.ex_post}) that was fitted after training, to the latents: another model"
            )
        if self.unreliable is None or self.unreliable.value == 0:
            return told
        return [
            *told,
            f"warning: the importance weights of {100 * self.unreliable.value:.3g} % of the data have a Pareto k above "
            f"{UNRELIABLE}: there iwae-{self.samples} may be far below log p, whatever its standard error; see --ais",
        ]


def _json(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def reference(likelihood: Likelihood, unit: str) -> str:
    """What a density is with respect to: the likelihood's measure, over the unit of x where it is not a count."""
    return likelihood.measure if "counting" in likelihood.measure else f"{likelihood.measure} on {unit}"


def summarize(
    per_datum: PerDatum,
    information: Tensor,
    k: int,
    n_columns: int,
    likelihood: Likelihood,
    unit: str,
    forecast_units: int | None,
    ex_post: str | None = None,
    *,
    weighed: Weighed | None = None,
    samples: Sequence[int] = (),
    marginal: Tensor | None = None,
    arithmetic: str = "float32",
) -> Evidence:
    """Turn per-datum bounds into an `Evidence`.

    Args:
        per_datum: from `evaluate`.
        information: from `mutual_information`.
        k: the draws it used.
        n_columns: D.
        likelihood: names the measure; a Normal also reports its sigma.
        unit: the units of x in words, part of the measure's name.
        forecast_units: latents that a linear decoder could keep alive, if it was foretold.
        ex_post: the prior's name, if it was fitted after training.
        weighed: from `weigh`, with the bounds for each of `samples`.
        samples: the k of each bound.
        marginal: from `surgery`.
        arithmetic: what the products were computed in, in words.
    """
    nats, n = "nats/datum", len(per_datum.kl)
    iwae = Measure.mean_of(per_datum.iwae, nats)
    parts, ceiling = per_datum.kl_per_latent.mean(0), math.log(len(information))
    of = f"of {per_datum.z_mean.shape[1]} latents"
    scale = var = None
    if isinstance(likelihood, Normal):
        sigma = float(likelihood.scale.detach())
        scale = Measure(sigma, None, n, "standard deviation, model units")
        var = Measure(sigma**2, None, n, "squared model units")
    return Evidence(
        elbo=Measure.mean_of(per_datum.elbo, nats),
        reconstruction=Measure.mean_of(per_datum.reconstruction, nats),
        kl=Measure.mean_of(per_datum.kl, nats),
        iwae=iwae,
        bits_per_dim=iwae.scaled(-1 / (n_columns * math.log(2)), "bits/dim"),
        active_units=Measure(active_units(per_datum.z_mean), None, n, of),
        mutual_information=Measure.mean_of(information, f"nats, at most log {len(information)} = {ceiling:.3f}"),
        kl_per_latent=() if parts.isnan().any() else tuple(parts.tolist()),
        samples=k,
        reference=reference(likelihood, unit),
        scale=scale,
        var=var,
        forecast_units=None if forecast_units is None else Measure(forecast_units, None, n, of),
        steps=Measure.mean_of(per_datum.steps, "gradient steps/datum") if per_datum.steps.any() else None,
        ex_post=ex_post,
        arithmetic=arithmetic,
        marginal_kl=None if marginal is None else Measure.mean_of(marginal, f"nats, of {len(marginal)} rows"),
        **({} if weighed is None else _worth(weighed, samples)),
    )


def _worth(weighed: Weighed, samples: Sequence[int]) -> dict[str, Any]:
    """What the weights say about themselves, and the bounds by their number of draws."""
    k, known = max(samples), weighed.pareto_k[~weighed.pareto_k.isnan()]
    return {
        "by_row": weighed.bounds[list(samples).index(k)],
        "bounds": {s: Measure.mean_of(b, "nats/datum") for s, b in zip(samples, weighed.bounds, strict=True)},
        "effective_samples": Measure.mean_of(weighed.effective, f"of {k} draws"),
        "pareto_k": Measure.mean_of(known, "shape of the weights' tail") if len(known) else None,
        "unreliable": Measure.mean_of((known > UNRELIABLE).double(), f"of data have a Pareto k above {UNRELIABLE}")
        if len(known)
        else None,
    }
