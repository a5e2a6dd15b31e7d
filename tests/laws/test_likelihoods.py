"""What every likelihood obeys."""

from __future__ import annotations

import math
from itertools import pairwise

import mpmath
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from minamo.distributions import ContinuousBernoulli
from minamo.randomness import drawing_from, stream
from tests.cases.likelihoods import LIKELIHOODS, Case, built, decoder

ids = [case.name for case in LIKELIHOODS]


def named(name: str) -> Case:
    return next(case for case in LIKELIHOODS if case.name == name)


Z = torch.tensor([0.3, -1.2], dtype=torch.float64)


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_it_is_normalized(case: Case):
    """The sum over all values, or the integral, is 1 to 1e-10."""
    law = built(case, 1)(Z)
    if isinstance(case.values, Tensor):
        total = float(law.log_prob(case.values[:, None]).exp().sum().detach())
    else:

        def density(x: float) -> float:
            return float(law.log_prob(torch.tensor([x], dtype=torch.float64)).exp().detach())

        middle, scale = float(law.mean.detach()), float(law.stddev.detach())
        low, high = case.values
        # In pieces around the peak, whose place a rule for the whole line could miss.
        cuts = [low, *(c for c in (middle + scale * k for k in (-8, -1, 0, 1, 8)) if low < c < high), high]
        total = sum(integrate.quad(density, a, b, epsabs=1e-13, epsrel=1e-12, limit=200)[0] for a, b in pairwise(cuts))
    assert abs(total - 1) < 1e-10


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_its_columns_are_independent_given_z(case: Case):
    """Three columns together: the sum of what each says alone, each with its own parameters."""
    law = built(case, 3)(Z)
    with drawing_from(stream(0, "columns", case.name)):
        x = law.sample((7,))
    whole = law.log_prob(x)
    assert whole.shape == (7,)
    each = [law.log_prob(torch.where(torch.arange(3) == j, x, x[:1])) - law.log_prob(x[:1]) for j in range(3)]
    torch.testing.assert_close(sum(each) + whole[0], whole)


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_its_samples_follow_its_density(case: Case):
    law = built(case, 1)(Z)
    with drawing_from(stream(0, "fit", case.name)):
        x = law.sample((20_000,))[:, 0].detach()
    if isinstance(case.values, Tensor):
        p = law.log_prob(case.values[:, None]).exp().detach()
        counts = (x[:, None] - case.values).abs().argmin(1).bincount(minlength=len(p)).double()
        # Rare values together, so that a chi-square is one.
        common = p * len(x) >= 10
        seen, wanted = ([*t[common].tolist(), float(t[~common].sum())] for t in (counts, p * len(x)))
        if wanted[-1] < 1e-3 and seen[-1] == 0:
            seen, wanted = seen[:-1], wanted[:-1]
        scale = sum(seen) / sum(wanted)
        assert stats.chisquare(seen, [w * scale for w in wanted]).pvalue > 1e-5
    else:
        low, high = float(x.min()), float(x.max())
        line = torch.linspace(low, high, 400_001, dtype=torch.float64)
        density = law.log_prob(line[:, None]).exp().detach()
        cdf = torch.cumulative_trapezoid(density, line)
        u = cdf[(torch.searchsorted(line, x) - 1).clamp(0, len(cdf) - 1)]
        # What lies beyond the draws is small and on both sides.
        assert stats.kstest((u + (1 - cdf[-1]) / 2).numpy(), "uniform").pvalue > 1e-5


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_its_mean_and_variance_are_those_of_its_density(case: Case):
    law = built(case, 1)(Z)
    if isinstance(case.values, Tensor):
        p = law.log_prob(case.values[:, None]).exp().detach()
        mean = (p * case.values).sum()
        var = (p * (case.values - mean) ** 2).sum()
    else:
        with drawing_from(stream(0, "moments", case.name)):
            x = law.sample((400_000,)).detach()
        mean, var = x.mean(), x.var()
        error = float(x.std()) / len(x) ** 0.5
        assert float(law.mean.detach()) == pytest.approx(float(mean), abs=5 * error)
        # The fourth moment of a Student-t with 5 degrees of freedom makes the variance of draws converge slowly.
        assert float(law.variance.detach()) == pytest.approx(float(var), rel=0.05 if case.name == "student-t" else 0.01)
        return
    assert float(law.mean.detach()) == pytest.approx(float(mean), rel=1e-6, abs=1e-9)
    assert float(law.variance.detach()) == pytest.approx(float(var), rel=1e-6)


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_its_gradient_is_the_slope(case: Case):
    """For every parameter of net and law, beside finite differences in float64."""
    likelihood = built(case, 2)
    with drawing_from(stream(0, "slope", case.name)):
        x = likelihood(Z).sample((3,)).detach()
    names = [name for name, p in likelihood.named_parameters() if p.requires_grad]

    def value(*parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(_LogProb(likelihood), {f"law.{k}": v for k, v in given.items()}, (x,))

    start = [p.detach().clone().requires_grad_() for p in likelihood.parameters() if p.requires_grad]
    assert torch.autograd.gradcheck(value, start)


class _LogProb(torch.nn.Module):
    def __init__(self, law: torch.nn.Module):
        super().__init__()
        self.law = law

    def forward(self, x: Tensor) -> Tensor:
        return self.law(Z).log_prob(x)


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_it_is_finite_at_the_edges_in_float32(case: Case):
    """At the least and the largest value, and at outputs of the net of 0 and of +-1000: log p and its gradients."""
    low, high = (float(v) for v in (case.values[0], case.values[-1]))
    for x in (low, high) if abs(low) < torch.inf else (-1e4, 0.0, 1e4):
        for output in (-1000.0, 0.0, 1000.0):
            likelihood = built(case, 2).float()
            with torch.no_grad():
                likelihood.net.last.weight.zero_()
                likelihood.net.last.bias.fill_(output)
            value = likelihood(Z.float()).log_prob(torch.full((2,), x))
            value.sum().backward()
            grads = [p.grad for p in likelihood.parameters() if p.grad is not None]
            assert torch.isfinite(value), (x, output)
            assert all(torch.isfinite(g).all() for g in grads), (x, output)


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_it_starts_near_the_best_model_without_latents(case: Case):
    """With the last weights at 0 its mean is about the data's; of the simple ones exactly, and the spread too."""
    likelihood = built(case, 4)
    mean = torch.tensor([0.1, 0.5, 0.9, 0.3], dtype=torch.float64)
    var = torch.tensor([0.01, 0.04, 0.09, 0.02], dtype=torch.float64)
    counted = case.discrete and float(torch.as_tensor(case.values)[-1]) > 1
    if counted and case.name != "categorical":
        mean, var = 10 * mean, 400 * var
    likelihood.start_from(mean, var)
    if case.name == "categorical":
        return
    with torch.no_grad():
        likelihood.net.last.weight.zero_()
        law = likelihood(torch.zeros(2, dtype=torch.float64))
    rel = 0.2 if case.name.startswith(("logistic", "zero-inflated")) else 1e-6
    torch.testing.assert_close(law.mean, mean, rtol=rel, atol=1e-6 if rel < 0.1 else 0.05)
    if case.name in ("normal", "normal, analytic", "laplace", "student-t"):
        torch.testing.assert_close(law.variance, torch.full((4,), 0.04, dtype=torch.float64), rtol=1e-5, atol=0)
    if case.name in ("normal-by-feature", "heteroscedastic-normal"):
        torch.testing.assert_close(law.variance, var, rtol=1e-5, atol=0)


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_support_excludes_what_has_no_probability(case: Case):
    likelihood = built(case, 1)
    assert not bool(likelihood.support.check(torch.tensor(case.outside)))
    inside = case.values.float() if isinstance(case.values, Tensor) else torch.tensor([0.0, 0.3, 1.0])
    assert bool(likelihood.support.check(inside).all())


def test_a_continuous_bernoulli_near_a_half_is_as_exact_as_far_from_it():
    """log C(l) beside mpmath, over the place where the series ends and to where float32 ends; mean and variance too."""
    mpmath.mp.dps = 50
    for logit in (0.0, 1e-9, 1e-4, 0.01, 0.2999, 0.3001, 1.0, 17.0, 80.0, -0.2999, -0.3001, -17.0, -80.0):
        t = mpmath.mpf(logit)
        constant = mpmath.log(t / mpmath.expm1(t)) if logit else mpmath.mpf(0)
        mean = 1 / (1 - mpmath.exp(-t)) - 1 / t if logit else mpmath.mpf(0.5)
        var = 1 / t**2 - 1 / (4 * mpmath.sinh(t / 2) ** 2) if logit else mpmath.mpf(1) / 12
        for dtype, rel in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
            law = ContinuousBernoulli(torch.tensor([logit], dtype=dtype))
            found = float(law.log_prob(torch.tensor([0.7], dtype=dtype)))
            assert found == pytest.approx(float(0.7 * t + constant), rel=10 * rel, abs=10 * rel)
            assert float(law.mean) == pytest.approx(float(mean), rel=10 * rel)
            assert float(law.variance) == pytest.approx(float(var), rel=1e3 * rel)


def test_analytic_scale_converges_to_the_root_mean_squared_error():
    likelihood = named("normal, analytic").build(decoder(2, 50)).double()
    z = torch.zeros(200, 2, dtype=torch.float64)
    with torch.no_grad():
        mean = likelihood(z).mean
        x = mean + 0.37 * torch.randn(mean.shape, generator=stream(0, "x"), dtype=torch.float64)
        for _ in range(300):
            likelihood.maximize(likelihood(z).log_prob(x))
    assert float(likelihood.scale) == pytest.approx(float((x - mean).pow(2).mean().sqrt()), rel=1e-5)  # type: ignore[arg-type]


def test_normal_of_scale_one_is_the_textbook_formula():
    """log N(x; xhat, I) = -|x - xhat|^2 / 2 - (D/2) log 2 pi."""
    net = decoder(2, 784)
    likelihood = named("normal, sigma 1").build(net).double()
    z, x = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 784, dtype=torch.float64)
    expected = -0.5 * (x - net(z)).pow(2).sum() - 392 * math.log(2 * math.pi)
    assert float(likelihood(z).log_prob(x).detach()) == pytest.approx(float(expected.detach()), abs=1e-9)


def test_no_grey_value_costs_more_than_a_law_a_quarter_of_a_level_wide_asks():
    """Pixels that are always dark would let a scale shrink for ever, and then a bright one ends a training."""
    law = named("logistic").build(decoder(2, 15))
    with torch.no_grad():
        law.net.last.weight.zero_()
        law.net.last.bias.view(3, 5, 1)[1:] = torch.tensor([0.5, -50.0]).view(2, 1, 1)
    prices = -law(Z).log_prob(torch.arange(256, dtype=torch.float64)[:, None] / 255).detach()
    dearest = 0.5 * math.exp(7.0)
    assert 0.9 * dearest < float(prices.max()) < 1.1 * dearest
    assert abs(float((-prices).exp().sum()) - 1) < 1e-10
