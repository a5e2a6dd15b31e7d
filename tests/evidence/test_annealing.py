"""Annealing and the sandwich, on models whose log p(x) is known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from minamo.batch import Batch
from minamo.distributions import GaussianMixture
from minamo.errors import ConfigError
from minamo.evidence import Adapter, Annealing, Given, annealed, sandwich
from minamo.evidence import hmc as hmc_module
from minamo.evidence.annealing import Walk, widened
from minamo.evidence.hmc import Path, at, transition
from minamo.evidence.sandwich import both, simulated
from minamo.families import Diagonal, Flow, FullCovariance
from minamo.posteriors import Exact
from minamo.priors import Mixture
from minamo.randomness import RowNoise
from tests.evidence.test_gaps import amortized
from tests.oracle.correlated import Correlated, correlated
from tests.oracle.enumerable import enumerable


def log_p(truth: Correlated, x: Tensor) -> Tensor:
    eye = torch.eye(len(truth.w), dtype=torch.float64)
    return torch.distributions.MultivariateNormal(
        torch.zeros(len(truth.w), dtype=torch.float64), truth.w @ truth.w.T + truth.sigma**2 * eye
    ).log_prob(x)


def close(values: Tensor, value: float, *, se: float) -> None:
    """The mean is right within 5 standard errors, and these are as small as stated."""
    error = float(values.std() / math.sqrt(len(values)))
    assert error < se, error
    assert abs(float(values.mean()) - value) < 5 * error, (float(values.mean()), error)


def gaps_of(model, true_log_p, n: int, settings: Annealing) -> tuple[Tensor, Tensor]:
    """lower - log p and upper - log p on simulated data, [n] each."""
    z, x = simulated(model, n, seed=1)
    lower, upper, *_ = both(model, Batch(x), z, range(n), settings, seed=2)
    return lower - true_log_p(x), upper - true_log_p(x)


MODELS = ["linear, from q", "linear, from the prior", "bits, from q", "bits, from the prior"]


def case(name: str):
    start = "prior" if name.endswith("prior") else "posterior"
    if name.startswith("bits"):
        bits = enumerable()
        return bits.model, lambda x: bits.log_p[bits.index(x)], start
    truth = correlated(3, 6, 0.5)
    return truth.model(amortized(truth)), lambda x: log_p(truth, x), start


def test_the_oracle_is_one():
    bits = enumerable()
    assert float(torch.logsumexp(bits.log_p, 0).exp()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_weights_have_expectation_p_in_either_direction(name):
    """E[w] = p(x) forth and E[1/w] = 1/p(x) back, on a path so short that neither bound is tight."""
    model, true, start = case(name)
    n = 600
    z, x = simulated(model, n, seed=1)
    walk = Walk(model, Batch(x), range(n), Annealing(temperatures=12, chains=60, start=start), seed=3)
    forth, back = walk.forwards()[0] - true(x), true(x) - walk.backwards(z)[0]
    assert forth.var(0).mean() > 0.01
    close(forth.exp().mean(0), 1.0, se=0.05)
    close(back.exp().mean(0), 1.0, se=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_truth_lies_between_the_bounds(name):
    model, true, start = case(name)
    below, above = gaps_of(model, true, 200, Annealing(temperatures=150, chains=8, start=start))
    for gap, sign in ((below, -1), (above, 1)):
        se = float(gap.std() / math.sqrt(len(gap)))
        assert se < 0.01
        assert sign * float(gap.mean()) > -5 * se
        assert abs(float(gap.mean())) < 0.05


def test_width_falls_as_one_over_the_number_of_temperatures():
    model, true, start = case("linear, from the prior")
    widths = []
    for temperatures in (25, 50, 100, 200):
        below, above = gaps_of(model, true, 400, Annealing(temperatures, chains=1, leapfrogs=5, start=start))
        widths.append(float((above - below).mean()))
    ratios = [a / b for a, b in pairwise(widths)]
    assert math.prod(ratios) ** (1 / 3) == pytest.approx(2.0, abs=0.35), widths


def moved(truth: Correlated, step: float, n_steps: int = 15) -> tuple[Tensor, Tensor]:
    """Standardized draws of the posterior after some transitions at beta = 1, and the acceptance."""
    q = truth.posterior
    chains, rows, d = 4000, len(truth.batch.x), truth.w.shape[1]
    noise = RowNoise(0, "law", range(rows))
    z = q.loc + (q.scale_tril @ noise(chains, d).double()[..., None])[..., 0]
    model = truth.model(Exact(d))
    path = Path(model.log_joint(truth.batch), widened(model.infer(truth.batch), 1.5), q.stddev)
    here, chance = at(path, z), torch.zeros(())
    for _ in range(n_steps):
        size = torch.full((rows,), step)
        here, chance = transition(path, here, 1.0, size, noise(chains, d + 2).double(), 3)
    off = (here.z - q.loc)[..., None]
    return torch.linalg.solve_triangular(q.scale_tril, off, upper=False)[..., 0].flatten(0, 1), chance


def worst_moment(u: Tensor) -> float:
    """Largest distance of a mean, a variance or a covariance from those of N(0, I), in standard errors."""
    n, d = u.shape
    second = u.T @ u / n - torch.eye(d, dtype=u.dtype)
    se = (torch.ones(d, d) + torch.eye(d)).sqrt() / math.sqrt(n)
    return max(float(u.mean(0).abs().max()) * math.sqrt(n), float((second.abs() / se).max()))


def test_hmc_leaves_the_posterior_as_it_is():
    u, chance = moved(correlated(3, 6, 0.5, n=5), step=0.5)
    assert 0.4 < chance.mean() < 0.98
    assert worst_moment(u) < 5


def test_the_moments_see_a_kernel_that_accepts_everything(monkeypatch):
    monkeypatch.setattr(hmc_module.torch, "nan_to_num", lambda gain, **_: torch.zeros_like(gain))
    u, _ = moved(correlated(3, 6, 0.5, n=5), step=0.5)
    assert worst_moment(u) > 10


def test_an_exact_start_has_weights_without_variance():
    truth = correlated(4, 9, 0.3, n=20)
    model = truth.model(Exact(4))
    found = annealed(model, Given(truth.batch.x), Annealing(temperatures=20, chains=3))
    assert (found.log_p - truth.log_p).abs().max() < 1e-8
    assert (found.effective - 3).abs().max() < 1e-8
    sandwiched = sandwich(model, 20, Annealing(temperatures=20, chains=3))
    assert abs(sandwiched.width.value) < 1e-8


def test_step_sizes_come_to_the_acceptance_aimed_at():
    truth = correlated(3, 6, 0.5, n=60)
    found = annealed(truth.model(amortized(truth)), Given(truth.batch.x), Annealing(temperatures=200, start="prior"))
    assert found.acceptance.mean() == pytest.approx(0.65, abs=0.15)


def test_a_row_s_numbers_depend_neither_on_the_budget_nor_on_its_neighbors():
    truth = correlated(3, 6, 0.5, n=9)
    model, settings = truth.model(amortized(truth)), Annealing(temperatures=10, chains=2)
    whole = annealed(model, Given(truth.batch.x), settings)
    # A decoded row of this model is counted as 8 * 32 * 8 bytes: so many hold two rows of two chains.
    parts = annealed(model, Given(truth.batch.x), settings, memory=8 * 32 * 8 * 5)
    assert torch.allclose(whole.log_p, parts.log_p, atol=1e-9)
    assert not torch.allclose(whole.log_p, annealed(model, Given(truth.batch.x), settings, seed=1).log_p)
    with pytest.raises(ConfigError, match="budget of 100 bytes is too small"):
        annealed(model, Given(truth.batch.x), settings, memory=100)


def test_a_wider_start_is_another_path_to_the_same_number():
    truth = correlated(3, 6, 0.5, n=150)
    model = truth.model(amortized(truth, family=FullCovariance(3)))
    found = annealed(model, Given(truth.batch.x), Annealing(temperatures=400, widen=1.4))
    close(found.log_p - truth.log_p, 0.0, se=0.01)
    q = Diagonal(2)(torch.zeros(3, 4))
    assert torch.equal(widened(q, 2.0).stddev, 2 * q.stddev)


def test_a_start_that_is_no_normal():
    """A flow as q, whose standard deviations are not known, and a mixture as prior, from which noise cannot be pushed.

    With a linear decoder p(x) is a mixture of normals again.
    """
    truth = correlated(3, 6, 0.5, n=100)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        flow, prior = Flow(3).double(), Mixture(3, components=4).double()
    bent = annealed(truth.model(amortized(truth, family=flow)), Given(truth.batch.x), Annealing(temperatures=40))
    close((bent.log_p - truth.log_p).exp(), 1.0, se=0.1)
    model = truth.model(amortized(truth))
    model.prior = prior
    p, eye = prior(), torch.eye(6, dtype=torch.float64)
    parts = torch.distributions.MultivariateNormal(
        prior.loc @ truth.w.T,
        truth.w @ torch.diag_embed(prior.log_scale.exp() ** 2) @ truth.w.T + truth.sigma**2 * eye,
    )
    log_px = torch.logsumexp(prior.logits.log_softmax(0) + parts.log_prob(truth.batch.x[:, None]), 1).detach()
    assert isinstance(p, GaussianMixture)
    for start in ("prior", "posterior"):
        found = annealed(model, Given(truth.batch.x), Annealing(temperatures=200, chains=6, start=start))
        close(found.log_p - log_px, 0.0, se=0.03)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"temperatures": 0}, "temperatures must be a whole number of at least 1, got 0"),
        ({"chains": 0}, "chains must be"),
        ({"start": "anywhere"}, "start must be one of posterior, prior"),
        ({"widen": 0.0}, "widen must be a positive number"),
    ],
)
def test_settings_that_make_no_path_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        Annealing(**given)


def test_what_an_adapter_lacks_is_asked_for():
    truth = correlated(2, 4, 0.5, n=3)
    model = truth.model(Exact(2))
    bare = Adapter(lambda x, z: model.log_joint(Batch(x))(z), lambda x: model.infer(Batch(x)))
    with pytest.raises(ConfigError, match="give the Adapter a function `simulate`"):
        sandwich(bare, 5)
    with pytest.raises(ConfigError, match="no prior to start from"):
        annealed(bare, Given(truth.batch.x), Annealing(temperatures=3, start="prior"))
