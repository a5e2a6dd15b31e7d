"""Whether q(z|x) is the posterior: simulation-based calibration, and predictive coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minamo.batch import Batch, Source
from minamo.evidence.judged import MEMORY, Judged, decoded_at_once, drawn
from minamo.evidence.measures import Measure
from minamo.evidence.sandwich import simulated
from minamo.evidence.weights import ROWS
from minamo.model import LatentVariableModel
from minamo.randomness import RowNoise, drawing_from, stream

DRAWS = 99
"""Draws among which a true value is ranked: 100 ranks."""
BINS = 20
LEVEL = 0.9
"""Of the central intervals whose coverage is counted."""
ALARM = 0.01
"""A calibrated q is called miscalibrated with this probability, all quantities taken together."""


@dataclass(frozen=True)
class Calibration:
    """Ranks of true latents among draws of q(z|x), on data simulated from the model."""

    ranks: Tensor
    """[N, latent_dim + 1], from 0 to 99: of each latent, and of log p(x, z)."""
    p_values: Tensor
    """Of a chi-square test that the ranks are uniform, [latent_dim + 1]."""
    coverage: Measure
    """Share of true latents inside the central 90 % of their draws."""

    @property
    def p_value(self) -> float:
        """Of all tests together: the smallest, times their number."""
        return min(1.0, float(self.p_values.min()) * len(self.p_values))

    @property
    def passed(self) -> bool:
        """Whether the ranks could be those of exact posteriors."""
        return self.p_value > ALARM

    def to_json(self) -> dict[str, Any]:
        """Return the p-values, the verdict and the coverage."""
        return {
            "p_value": self.p_value,
            "p_values": self.p_values.tolist(),
            "passed": self.passed,
            "coverage": self.coverage.to_json(),
        }

    def __str__(self) -> str:
        """The verdict in a sentence."""
        verdict = "could be the posterior" if self.passed else "is not the posterior"
        worst = int(self.p_values.argmin())
        of = "log p(x, z)" if worst == len(self.p_values) - 1 else f"latent {worst}"
        return (
            f"calibration: q(z|x) {verdict}: p = {self.p_value:.2g} (least for {of}); {self.coverage} of true latents "
            f"lie in their 90 % intervals ({len(self.ranks)} simulated data)"
        )


@torch.no_grad()
def calibration(model: Judged, n: int = 1000, *, seed: int = 0, memory: int = MEMORY) -> Calibration:
    """Rank true latents among draws of q(z|x), for n data simulated from the model.

    With z* ~ p(z), x ~ p(x|z*) and draws of the exact p(z|x), the rank of anything computed from z* among the same
    computed from the draws is uniform. Ranked are every latent and log p(x, z), which sees correlations between
    latents. "Validating Bayesian Inference Algorithms with Simulation-Based Calibration" (Talts, Betancourt, Simpson,
    Vehtari, Gelman, 2018).

    Args:
        model: held fixed.
        n: data to simulate.
        seed: of data and draws.
        memory: bytes that may be held beside model and data.
    """
    z, x = simulated(model, n, seed)
    at_once = decoded_at_once(model, x.shape[1], memory)
    ranks = []
    for rows in torch.arange(n).split(min(ROWS, at_once)):
        batch, true = Batch(x[rows]), z[rows]
        noise = RowNoise(seed, "calibration", rows.tolist())(DRAWS, z.shape[1]).to(x.dtype)
        draws = drawn(model.infer(batch), noise, stream(seed, "calibration of", int(rows[0])))
        joint = model.log_joint(batch)
        some = draws.split(max(1, at_once // len(rows)))
        below = (torch.cat([joint(part) for part in some]) < joint(true[None])).sum(0)
        ranks.append(torch.cat([(draws < true).sum(0), below[:, None]], 1))
    found = torch.cat(ranks)
    inside = central(found[:, :-1]).double().mean(1)
    return Calibration(found, uniformity(found), Measure.mean_of(inside, f"of latents; nominal {LEVEL}"))


def uniformity(ranks: Tensor) -> Tensor:
    """The p-value of a chi-square test of uniform ranks from 0 to 99, for each column of [N, C]: [C].

    >>> uniformity(torch.arange(100).repeat(3)[:, None]).tolist()
    [1.0]
    """
    n, width = len(ranks), (DRAWS + 1) // BINS
    counts = torch.stack([torch.bincount(column // width, minlength=BINS) for column in ranks.T]).double()
    statistic = ((counts - n / BINS) ** 2).sum(1) / (n / BINS)
    return torch.special.gammaincc(torch.full_like(statistic, (BINS - 1) / 2), statistic / 2)


def central(ranks: Tensor) -> Tensor:
    """Whether ranks from 0 to 99 are among the central 90."""
    tail = round((1 - LEVEL) / 2 * (DRAWS + 1))
    return (ranks >= tail) & (ranks <= DRAWS - tail)


@torch.no_grad()
def predictive_coverage(model: LatentVariableModel, source: Source, *, seed: int = 0, memory: int = MEMORY) -> Measure:
    """Share of the cells of x inside the central 90 % of 99 replications x' ~ p(x|z), with one z ~ q(z|x) for each row.

    If the data are the model's and q is the posterior, x and its replications are draws of the same p(x|z), and the
    share is 0.9; ties, of which discrete data are full, are broken at random. With a z of its own for each
    replication it would be another number. A single draw of what is unknown makes the check exact, as in "A Bayesian
    chi-squared test for goodness-of-fit" (Johnson, 2004).
    """
    shares = torch.empty(len(source), dtype=torch.float64)
    at_once, done = decoded_at_once(model, source.n_columns, memory), 0
    for batch in source.batches(max(1, min(ROWS, at_once // (DRAWS + 1)))):
        rows = slice(done, done + len(batch.x))
        done = rows.stop
        noise = RowNoise(seed, "predictive", range(rows.start, rows.stop))(1, model.prior.latent_dim)
        generator = stream(seed, "predictive of", rows.start)
        z = drawn(model.infer(batch), noise.to(batch.x.dtype), generator)[0]
        law = model.likelihood(z)
        below, equal = torch.zeros(2, *batch.x.shape)
        with drawing_from(generator):
            for _ in range(DRAWS):
                again = law.sample()
                below += again < batch.x
                equal += again == batch.x
            rank = below + torch.floor(torch.rand_like(equal) * (equal + 1))
        shares[rows] = central(rank).double().mean(1)
    return Measure.mean_of(shares, f"of cells; nominal {LEVEL}")
