"""The noise of every estimator of a gradient, for the parameters mu and log sigma of q(z|x).

Command:  python benchmarks/gradients.py        (or make bench; under a minute, needs no data)

On a linear-Gaussian model at, near and far from its exact posterior, and on a VAE trained for a few epochs. Every
estimator has the same K draws, so the same work up to one pass back through the decoder; the time of a
gradient step is measured on the VAE. Signal and bias are against the mean of the quietest unbiased gradient of the same
bound, from other draws and more of them. The tables are printed and kept in benchmarks/RESULTS.md.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import VAE, Batch, Draw, LatentVariableModel
from minamo.objectives import doubly_reparameterized, elbo, iwae, rloo, score_function, sticking_the_landing
from minamo.randomness import drawing_from, stream
from tests.oracle.linear_gaussian import oracle
from tests.oracle.row_by_row import RowPosterior, gradients, rows_of

K = 8
PLAIN = "ELBO, reparameterized, KL in closed form"
ROUNDING = 1e-10
"""Gradients have size 1 or so: what is smaller is 0."""
PARAMETERS = ("posterior.mu", "posterior.log_sigma")
Objective = Callable[[Draw], Tensor]


def of_draws(draw: Draw) -> Tensor:
    """The ELBO as mean_k log w_k. Where z is held constant, its gradient is the naive exchange."""
    return draw.log_w.mean(0)


class Estimator(NamedTuple):
    """One line of the table."""

    name: str
    objective: Objective
    reparameterized: bool
    reference: Objective
    """The quietest unbiased gradient of the same bound."""

    @property
    def is_naive(self) -> bool:
        """Whether z is held constant and nothing makes up for it."""
        return self.objective is of_draws and not self.reparameterized


ESTIMATORS = [
    Estimator("ELBO, naive: inside the expectation", of_draws, False, sticking_the_landing),
    Estimator("ELBO, score function", score_function, False, sticking_the_landing),
    Estimator("ELBO, score function, leave-one-out baseline", rloo, False, sticking_the_landing),
    Estimator("ELBO, reparameterized, KL by draws", of_draws, True, sticking_the_landing),
    Estimator(PLAIN, elbo, True, sticking_the_landing),
    Estimator("ELBO, sticking the landing", sticking_the_landing, True, sticking_the_landing),
    Estimator(f"IWAE-{K}, reparameterized", iwae, True, doubly_reparameterized),
    Estimator(f"IWAE-{K}, doubly reparameterized", doubly_reparameterized, True, doubly_reparameterized),
]


class Setting(NamedTuple):
    """R rows of data, and a q for each."""

    name: str
    model: LatentVariableModel
    x: Tensor
    mu: Tensor
    log_sigma: Tensor
    n: int
    """Gradients for each row."""

    def gradients(self, objective: Objective, reparameterized: bool = True, times: int = 1) -> dict[str, Tensor]:
        """For mu and for log sigma, [R, times n, latent_dim]."""
        n = times * self.n
        rows = []
        for x, mu, log_sigma in zip(self.x, self.mu, self.log_sigma, strict=True):
            posterior = RowPosterior(rows_of(mu, n), rows_of(log_sigma, n))
            model = LatentVariableModel(self.model.prior, self.model.likelihood, posterior)
            rows.append(gradients(model, x, objective, K, n, reparameterized))
        return {name: torch.stack([row[name] for row in rows]) for name in PARAMETERS}


class Noise(NamedTuple):
    """Of a gradient for one parameter; root mean squares over the rows."""

    var: float
    """Trace of the covariance."""
    signal: float
    """|true gradient| / root of the trace."""
    bias: float
    """|mean - true gradient| in standard errors: about 1 where there is none."""

    def cells(self, is_naive: bool) -> tuple[str, str, str]:
        """What there is to show: at the exact posterior no signal, and of some estimators no noise either."""
        if self.var < ROUNDING:
            return "0", "", ""
        signal = "" if is_naive or self.signal < ROUNDING else f"{self.signal:.3f}"
        return f"{self.var:.3g}", signal, f"{self.bias:.1f}"


def noise(found: Tensor, truth: Tensor) -> Noise:
    """From gradients [R, n, latent_dim], and those of the reference."""
    var, mean = found.var(1).sum(-1), truth.mean(1)
    squared_se = var / found.shape[1] + truth.var(1).sum(-1) / truth.shape[1]
    squared_bias = (found.mean(1) - mean).square().sum(-1)
    signal = mean.square().sum(-1).mean() / var.mean()
    return Noise(float(var.mean()), float(signal.sqrt()), float((squared_bias.mean() / squared_se.mean()).sqrt()))


def linear_gaussian(name: str, shift: float) -> Setting:
    """A q off the exact posterior by `shift` posterior standard deviations, and too wide by a factor e^shift."""
    truth = oracle()
    batch = truth.batch(5)
    with torch.no_grad():
        q = truth.model.posterior(batch, truth.model.log_joint(batch))
        mu, log_sigma = q.mean + shift * q.stddev, q.stddev.log() + shift
    return Setting(name, truth.model.requires_grad_(False), batch.x, mu, log_sigma, 10_000)


def digits() -> tuple[Setting, LatentVariableModel]:
    """A VAE after 20 epochs on black-and-white digits, at rows it has not seen."""
    x = (np.asarray(load_digits(return_X_y=True)[0]) > 7.5).astype("float32")
    x = x[:, x[:1500].std(0) > 0]
    vae = VAE(8, likelihood="bernoulli", hidden=(100,), max_epochs=20, patience=None).fit(x[:1500])
    model = copy.deepcopy(vae.model_).double()
    batch = Batch(torch.from_numpy(x[1500:1520]).double(), torch.arange(20))
    with torch.no_grad():
        q = model.posterior(batch, model.log_joint(batch))
    name = "A VAE of the digits after 20 epochs (0/1, 8 latents, 100 hidden units)"
    frozen = copy.deepcopy(model).requires_grad_(False)
    return Setting(name, frozen, batch.x, q.mean, q.stddev.log(), 500), vae.model_.requires_grad_(True)


def seconds_per_step(model: LatentVariableModel, x: Tensor, rounds: int = 40) -> dict[str, float]:
    """Median time of draws, objective and gradient for all weights, for 128 rows, the estimators in turn."""
    batch = Batch(x.float().repeat(7, 1)[:128], torch.arange(128))
    seconds: dict[str, list[float]] = {estimator.name: [] for estimator in ESTIMATORS}
    with drawing_from(stream(0, "time")):
        for _ in range(rounds):
            for estimator in ESTIMATORS:
                started = time.perf_counter()
                draw = model.draw(batch, K, reparameterized=estimator.reparameterized)
                (-estimator.objective(draw).mean()).backward()
                seconds[estimator.name].append(time.perf_counter() - started)
                model.zero_grad()
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(setting: Setting, seconds: dict[str, float] | None = None) -> str:
    """One setting as markdown."""
    lines = [
        f"### {setting.name}\n",
        "| | variance: μ | log σ | signal / noise: μ | log σ | bias / SE: μ | log σ |" + " time |" * bool(seconds),
        "|---|---|---|---|---|---|---|" + "---|" * bool(seconds),
    ]
    with drawing_from(stream(0, setting.name, "reference")):
        references: list[Objective] = [sticking_the_landing, doubly_reparameterized]
        truths = {objective: setting.gradients(objective, times=4) for objective in references}
    for estimator in ESTIMATORS:
        with drawing_from(stream(0, setting.name, estimator.name)):
            found = setting.gradients(estimator.objective, estimator.reparameterized)
        noises = [noise(found[name], truths[estimator.reference][name]) for name in PARAMETERS]
        pairs = zip(*(of.cells(estimator.is_naive) for of in noises), strict=True)
        cells = [cell for pair in pairs for cell in pair]
        if seconds:
            cells.append(f"{seconds[estimator.name] / seconds[PLAIN]:.2f}")
        lines.append(f"| {estimator.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    vae, model = digits()
    tables = [
        table(linear_gaussian("A linear-Gaussian model at its exact posterior (7 columns, 3 latents)", 0.0)),
        table(linear_gaussian("Near it: off by 0.1 standard deviations, too wide by e^0.1", 0.1)),
        table(linear_gaussian("Far from it: off by 1 standard deviation, too wide by e", 1.0)),
        table(vae, seconds_per_step(model, vae.x)),
    ]
    text = (
        f"{results.circumstances()}. Gradients for μ and log σ of q(z|x), K = {K} draws of z each. Variance: trace of "
        "the covariance, mean over rows. Signal: length of the true gradient over the root of that. Bias: distance of "
        "the mean from the true gradient in standard errors, about 1 where there is none. Time: of a step for "
        "128 rows, relative to the ELBO with its KL in closed form.\n\n"
    )
    print(results.write("Gradients: variance, signal, bias", text + "\n".join(tables)))


if __name__ == "__main__":
    main()
