"""Annealed importance sampling: log p(x) by many small steps from a known density to the posterior."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from minamo.batch import Batch, Source
from minamo.distributions import push
from minamo.errors import ConfigError, DataError
from minamo.evidence.hmc import EXTRA, REACH, TARGET, Path, Point, at, transition
from minamo.evidence.judged import MEMORY, Judged, decoded_at_once, drawn, held_joint
from minamo.evidence.pareto import effective_samples
from minamo.evidence.weights import ROWS, log_mean_exp
from minamo.randomness import RowNoise, drawing_from, stream

STARTS = ("posterior", "prior")
SIGMOID = 4.0
"""How a path from the prior spends its temperatures: beta = sigmoid(-4 ... 4), rescaled to [0, 1]."""
PILOT_CHAINS = 4
PILOT_SHARE = 5
"""The pilot visits every fifth temperature..."""
PILOT_LEAST = 50
"""...and no fewer than so many."""
WARM = 20
"""Steps of the pilot at the first temperature, before it climbs."""
GAIN = 0.2
"""How far log step size follows one acceptance rate."""
NOISE_AT_ONCE = 8
"""Transitions whose noise is drawn together."""
SCALE_DRAWS = 256
"""Draws from which the standard deviations of r come, where it does not know them."""

Advance = Callable[[int], object]
"""Called with the number of rows done."""


@dataclass(frozen=True)
class Annealing:
    """How a path is walked. The work for a row is about temperatures * leapfrogs * chains gradients.

    Args:
        temperatures: T, steps of beta from 0 to 1; the distance of either bound from log p falls as 1 / T.
        chains: for every row; their weights are averaged.
        leapfrogs: steps of each trajectory.
        start: r(z), "posterior": q(z|x), or "prior": p(z), the classical path, which is far longer.
        widen: q's standard deviations are multiplied by this where it is the start, and a normal.
    """

    temperatures: int = 500
    chains: int = 8
    leapfrogs: int = 3
    start: str = "posterior"
    widen: float = 1.0

    def __post_init__(self):
        for name, least in (("temperatures", 1), ("chains", 1), ("leapfrogs", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")
        if self.start not in STARTS:
            raise ConfigError(f"start must be one of {', '.join(STARTS)}, got {self.start!r}")
        if not 0 < self.widen < math.inf:
            raise ConfigError(f"widen must be a positive number, got {self.widen!r}")

    @property
    def betas(self) -> list[float]:
        """0 = beta_0 < ... < beta_T = 1: equal steps from q; from the prior, small ones at both ends."""
        t = torch.linspace(0, 1, self.temperatures + 1, dtype=torch.float64)
        if self.start == "prior":
            s = torch.sigmoid(SIGMOID * (2 * t - 1))
            t = (s - s[0]) / (s[-1] - s[0])
        return t.tolist()


class Annealed(NamedTuple):
    """What annealing says of each row; float64."""

    log_p: Tensor
    """log of the mean weight over chains, [N], nats: a lower bound on log p(x) in expectation."""
    effective: Tensor
    """Effective number of the chains, [N]."""
    acceptance: Tensor
    """Mean probability of acceptance, [N]."""


@torch.no_grad()
def annealed(
    model: Judged,
    source: Source,
    settings: Annealing | None = None,
    *,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Advance | None = None,
) -> Annealed:
    """Estimate log p(x) of every row by annealed importance sampling; densities are over data units.

    w = prod_t f_t(z_t-1) / f_t-1(z_t-1) has expectation p(x), whatever the number of steps and however badly the chains
    mix, provided that each kernel leaves its f_t invariant. So log mean w is a lower bound in expectation, and close
    where the path is long. "Annealed Importance Sampling" (Neal, 2001); "On the Quantitative Analysis of Decoder-Based
    Generative Models" (Wu, Burda, Salakhutdinov, Grosse, 2017), there from the prior.

    Args:
        model: held fixed.
        source: the rows.
        settings: the path; default `Annealing()`.
        seed: of all noise, which belongs to rows as in `weigh`.
        memory: bytes that may be held beside model and data.
        progress: called after every few rows.

    Raises:
        ConfigError: a start that the model does not have.
        DataError: the source serves fewer or more rows than it says it has.
    """
    settings = settings or Annealing()
    n, done = len(source), 0
    found = Annealed(*torch.empty(3, n, dtype=torch.float64))
    for batch in source.batches(rows_at_once(model, source.n_columns, settings, memory)):
        rows = range(done, done + len(batch.x))
        done = rows.stop
        if done > n:
            break
        walk = Walk(model, batch, rows, settings, seed)
        log_w, acceptance = walk.forwards()
        here = slice(rows.start, rows.stop)
        found.log_p[here] = log_mean_exp(log_w, 0) + source.log_det
        found.effective[here], found.acceptance[here] = effective_samples(log_w), acceptance
        if progress:
            progress(done)
    if done != n:
        raise DataError(f"the source says that it has {n} rows and served {done}: every row must be served once")
    return found


def rows_at_once(model: Judged, n_columns: int, settings: Annealing, memory: int) -> int:
    """How many rows walk together."""
    return max(1, min(ROWS, decoded_at_once(model, n_columns, memory, slopes=True) // settings.chains))


class Walk:
    """The path of the rows of one batch, in either direction.

    Step sizes come from a pilot: chains of its own that climb from r, adapting to an acceptance of 0.65 for each row,
    at a few temperatures. They are frozen before the chains that count begin. Had these adapted to their own
    past, their kernels would depend on it, and the expectation of w would no longer be p(x).

    Args:
        model, batch: the rows.
        rows: their numbers, to which their noise belongs.
        settings: the path.
        seed: of the noise.
    """

    def __init__(self, model: Judged, batch: Batch, rows: range, settings: Annealing, seed: int):
        self.settings, self.betas = settings, settings.betas
        self.rows, self.seed, self.dtype = rows, seed, batch.x.dtype
        start = self._start(model, batch)
        self.latent_dim = start.event_shape[0]
        self.path = Path(held_joint(model, batch), start, _scale(start, self.dtype, stream(seed, "scale")))
        self.steps = self._pilot()

    def forwards(self) -> tuple[Tensor, Tensor]:
        """Walk from r to the posterior: log w [C, B], float64, and the mean acceptance of each row, [B]."""
        z = self._from_start("first", self.settings.chains)
        return self._walk(at(self.path, z), range(self.settings.temperatures), "forwards")

    def backwards(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Walk from exact draws of the posterior, [B, latent_dim], to r; 1 / w then has expectation 1 / p(x)."""
        z = z.to(self.dtype).expand(self.settings.chains, *z.shape)
        return self._walk(at(self.path, z), range(self.settings.temperatures - 1, -1, -1), "backwards")

    def _walk(self, here: Point, order: range, name: str) -> tuple[Tensor, Tensor]:
        """Gather log w over the steps of beta in the order given, with a transition between any two of them."""
        log_w = torch.zeros(here.log_p.shape, dtype=torch.float64)
        accepted = torch.zeros(here.log_p.shape[1], dtype=torch.float64)
        noise = self._noise(name, self.settings.chains)
        for t, next_t in pairwise([*order, -1]):
            log_w += (self.betas[t + 1] - self.betas[t]) * (here.log_p.double() - here.log_r.double())
            if t != order[-1]:
                # The temperature that this step of beta and the next have in common.
                shared = max(t, next_t)
                here, chance = transition(
                    self.path, here, self.betas[shared], self.steps[shared - 1], next(noise), self.settings.leapfrogs
                )
                accepted += chance.double().mean(0) / (len(order) - 1)
        return log_w, accepted if len(order) > 1 else torch.ones_like(accepted)

    def _pilot(self) -> Tensor:
        """Step sizes for each of the T - 1 inner temperatures and each row, [T - 1, B]."""
        inner, leapfrogs = self.betas[1:-1], self.settings.leapfrogs
        n, longest = len(self.rows), math.log(REACH / leapfrogs)
        if not inner:
            return torch.empty(0, n)
        visited = min(len(inner), max(PILOT_LEAST, len(inner) // PILOT_SHARE))
        places = [i * len(inner) // visited for i in range(visited)]
        log_step, seen = torch.full((n,), longest - math.log(2)), []
        here, noise = at(self.path, self._from_start("pilot's first", PILOT_CHAINS)), self._noise("pilot", PILOT_CHAINS)
        for place in [*[0] * WARM, *places]:
            here, chance = transition(self.path, here, inner[place], log_step.exp(), next(noise), leapfrogs)
            log_step = (log_step + GAIN * (chance.float().mean(0) - TARGET)).clamp_max(longest)
            seen.append(log_step)
        found = torch.stack(seen[WARM:])
        return found[torch.arange(len(inner)) * visited // len(inner)].exp()

    def _start(self, model: Judged, batch: Batch) -> Distribution:
        if self.settings.start == "posterior":
            return widened(model.infer(batch), self.settings.widen)
        prior = getattr(model, "prior", None)
        if prior is None:
            raise ConfigError("this model has no prior to start from: give the Adapter one, or start at the posterior")
        return prior()

    def _from_start(self, name: str, chains: int) -> Tensor:
        """Draws of r, [C, B, latent_dim]."""
        noise = RowNoise(self.seed, name, self.rows)(chains, self.latent_dim).to(self.dtype)
        return drawn(self.path.start, noise, stream(self.seed, name, "of", self.rows.start))

    def _noise(self, name: str, chains: int):
        """Yield the noise of one transition after the other, [C, B, latent_dim + 2]."""
        noise = RowNoise(self.seed, name, self.rows)
        while True:
            yield from noise(NOISE_AT_ONCE, chains, self.latent_dim + EXTRA).to(self.dtype)


def widened(q: Distribution, by: float) -> Distribution:
    """Return q with its standard deviations multiplied; a ConfigError if it is no normal, and `by` is not 1."""
    if by == 1.0:
        return q
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return Independent(Normal(q.base_dist.loc, by * q.base_dist.scale, validate_args=False), 1, validate_args=False)
    if isinstance(q, MultivariateNormal):
        return MultivariateNormal(q.loc, scale_tril=by * q.scale_tril, validate_args=False)
    raise ConfigError(f"only a normal q can be widened, not a {type(q).__name__}: leave widen at 1")


def _scale(r: Distribution, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Standard deviations of r, from the same few hundred draws for every row where it does not know them."""
    try:
        return r.stddev.to(dtype)
    except NotImplementedError:
        pass
    d = r.event_shape[0]
    try:
        noise = torch.randn(SCALE_DRAWS, *(1 for _ in r.batch_shape), d, generator=generator, dtype=torch.float64)
        return push(r, noise.to(dtype))[0].std(0)
    except NotImplementedError:
        with drawing_from(generator):
            return r.sample(torch.Size([SCALE_DRAWS])).std(0)
