"""A lower and an upper bound on log p(x) of data drawn from the model itself, whose exact posterior draws are known."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from minamo.batch import Batch
from minamo.evidence.annealing import Advance, Annealing, Walk, rows_at_once
from minamo.evidence.judged import MEMORY, Judged
from minamo.evidence.measures import Measure
from minamo.evidence.pareto import effective_samples
from minamo.evidence.weights import ROWS, log_mean_exp
from minamo.randomness import drawing_from, stream

NATS = "nats/datum"


@dataclass(frozen=True)
class Sandwich:
    """Both bounds on the mean log p(x) of simulated data, row by row on the same x."""

    lower: Measure
    """Annealing from r to the posterior."""
    upper: Measure
    """Annealing back, from exact draws of the posterior."""
    width: Measure
    """upper - lower, paired: by so much, in expectation, is the lower bound below log p(x) at most."""
    effective: Measure
    """Effective number of chains of the lower bound."""
    acceptance: Measure
    settings: Annealing

    @property
    def measures(self) -> dict[str, Measure]:
        """Every measure by name."""
        return {
            "lower": self.lower,
            "upper": self.upper,
            "width": self.width,
            "effective_chains": self.effective,
            "acceptance": self.acceptance,
        }

    def to_json(self) -> dict[str, Any]:
        """Return `{name: {"value", "se", "n", "unit"}}` and the settings of the path."""
        return {**{name: m.to_json() for name, m in self.measures.items()}, "settings": asdict(self.settings)}

    def __str__(self) -> str:
        """A sentence, and what it does not say."""
        s = self.settings
        return (
            f"simulated data: {self.lower} <= log p <= {self.upper} nats/datum, width {self.width} "
            f"({self.lower.n} data, {s.chains} chains, {s.temperatures} temperatures, {s.leapfrogs} leapfrogs from the "
            f"{s.start}); on real data only the lower bound holds, and is as close if they are like the simulated"
        )


def sandwich(
    model: Judged,
    n: int,
    settings: Annealing | None = None,
    *,
    seed: int = 0,
    memory: int = MEMORY,
    log_det: float = 0.0,
    progress: Advance | None = None,
) -> Sandwich:
    """Bound log p(x) from both sides on n data drawn from the model: bidirectional Monte Carlo.

    z* ~ p(z) and x ~ p(x|z*) make z* an exact draw of p(z|x). Annealed from there back to r, 1 / w has expectation
    1 / p(x), so -log mean 1/w is an upper bound in expectation, as log mean w of the way forth is a lower one; this
    holds for every normalized r, the prior or q(z|x). "Sandwiching the marginal likelihood using bidirectional Monte
    Carlo" (Grosse, Ghahramani, Adams, 2015).

    Of other data no exact draw of the posterior is known. There the lower bound alone holds, and the width is a
    forecast of its error: what it is worth depends on how much the data are like the model's own.

    Args:
        model: held fixed.
        n: data to simulate.
        settings: the path; default `Annealing()`.
        seed: of data and noise.
        memory: bytes that may be held beside model and data.
        log_det: nats to add, where densities are to be over other units than the model's.
        progress: called with the number of data done.
    """
    lower, upper, effective, acceptance = torch.empty(4, n, dtype=torch.float64)
    settings, done = settings or Annealing(), 0
    z, x = simulated(model, n, seed)
    size = rows_at_once(model, x.shape[1], settings, memory)
    for z_some, x_some in zip(z.split(size), x.split(size), strict=True):
        rows = slice(done, done + len(x_some))
        low, high, effective[rows], acceptance[rows] = both(
            model, Batch(x_some), z_some, range(rows.start, rows.stop), settings, seed
        )
        lower[rows], upper[rows] = low + log_det, high + log_det
        done = rows.stop
        if progress:
            progress(done)
    return Sandwich(
        Measure.mean_of(lower, NATS),
        Measure.mean_of(upper, NATS),
        Measure.mean_of(upper - lower, NATS),
        Measure.mean_of(effective, f"of {settings.chains} chains"),
        Measure.mean_of(acceptance, "share of proposals"),
        settings,
    )


@torch.no_grad()
def both(
    model: Judged, batch: Batch, z: Tensor, rows: range, settings: Annealing, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lower and upper bound, effective number of chains and acceptance, [B] each, given exact posterior draws z."""
    walk = Walk(model, batch, rows, settings, seed)
    forth, acceptance = walk.forwards()
    back, _ = walk.backwards(z)
    return log_mean_exp(forth, 0), -log_mean_exp(-back, 0), effective_samples(forth), acceptance


def simulated(model: Judged, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw z [n, latent_dim] and x [n, D] from the model, a few rows at a time."""
    with drawing_from(stream(seed, "simulated")):
        parts = [model.simulate(min(ROWS, n - i)) for i in range(0, n, ROWS)]
    z, x = (torch.cat(some) for some in zip(*parts, strict=True))
    return z, x
