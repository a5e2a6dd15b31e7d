"""What every likelihood obeys."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats

from minamo.randomness import drawing_from, stream
from tests.cases.likelihoods import LIKELIHOODS, Case, decoder

ids = [case.name for case in LIKELIHOODS]


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_it_is_normalized(case: Case):
    """Sum over all x in {0, 1}^3, or the integral over the line, is 1 to 1e-10."""
    d = 3 if case.discrete else 1
    law = case.build(decoder(2, d)).double()(torch.tensor([0.3, -1.2], dtype=torch.float64))
    if case.discrete:
        x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)), dtype=torch.float64)
        total = law.log_prob(x).exp().sum()
    else:
        grid = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
        reach = 12 * float(law.stddev.max().detach())
        x = law.mean.detach() + reach * grid[:, None]
        total = torch.trapezoid(law.log_prob(x).exp(), x[:, 0])
    assert abs(float(total.detach()) - 1) < 1e-10


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_its_samples_follow_its_density(case: Case):
    law = case.build(decoder(2, 1)).double()(torch.tensor([0.3, -1.2], dtype=torch.float64))
    with drawing_from(stream(0, "fit", case.name)):
        x = law.sample((20_000,))[:, 0].numpy()
    if case.discrete:
        p = float(law.log_prob(torch.ones(1, dtype=torch.float64)).exp().detach())
        assert stats.binomtest(int(x.sum()), len(x), p).pvalue > 1e-5
    else:
        mean, sd = float(law.mean.detach()[0]), float(law.stddev.detach()[0])
        assert stats.kstest(x, stats.norm(mean, sd).cdf).pvalue > 1e-5


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_it_starts_at_the_best_model_without_latents(case: Case):
    """With the last weights at 0, the mean is the data's and a free sigma is its spread."""
    likelihood = case.build(decoder(2, 4)).double()
    mean = torch.tensor([0.1, 0.5, 0.9, 0.3], dtype=torch.float64)
    var = torch.tensor([0.01, 0.04, 0.09, 0.02], dtype=torch.float64)
    likelihood.start_from(mean, var)
    with torch.no_grad():
        likelihood.net.last.weight.zero_()  # type: ignore[union-attr,operator]
        law = likelihood(torch.zeros(2, dtype=torch.float64))
    assert torch.allclose(law.mean, mean)
    if case.name in ("normal, shared", "normal, analytic"):
        assert torch.allclose(law.variance, torch.full((4,), 0.04, dtype=torch.float64))


@pytest.mark.parametrize("case", LIKELIHOODS, ids=ids)
def test_support_excludes_what_has_no_probability(case: Case):
    likelihood = case.build(decoder(2, 1))
    assert not bool(likelihood.support.check(torch.tensor(case.outside)))
    assert bool(likelihood.support.check(torch.tensor(1.0)))


def test_analytic_scale_converges_to_the_root_mean_squared_error():
    likelihood = LIKELIHOODS[-1].build(decoder(2, 50)).double()
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
    likelihood = LIKELIHOODS[1].build(net).double()
    z, x = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 784, dtype=torch.float64)
    expected = -0.5 * (x - net(z)).pow(2).sum() - 392 * math.log(2 * math.pi)
    assert float(likelihood(z).log_prob(x).detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
