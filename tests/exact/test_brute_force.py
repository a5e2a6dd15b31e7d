"""Tiny models, summed and integrated by brute force; samples against the density that they claim."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MultivariateNormal, Normal

from minamo.errors import DataError
from minamo.exact import FactorAnalysis, GaussianMixture, ProbabilisticPCA, binary_states, enumeration, exact_posterior
from tests.exact.laws import t

GRID = torch.linspace(-14, 14, 4001, dtype=torch.float64)
STEP = float(GRID[1] - GRID[0])
MIXTURE = GaussianMixture(
    t([0.3, 0.7]), t([[-1.0, 0.5], [2.0, -0.5]]), t([[[1.0, 0.6], [0.6, 1.5]], [[0.8, -0.3], [-0.3, 0.5]]])
)
LOADINGS = t([[1.0, 0.2], [0.5, -1.0], [0.0, 2.0]])
FACTORS = [
    FactorAnalysis(LOADINGS, t([0.0, 1.0, -1.0]), t([0.5, 1.0, 0.25])),
    ProbabilisticPCA(LOADINGS, t([0.0, 1.0, -1.0]), t(0.5)),
]
factors = pytest.mark.parametrize("model", FACTORS, ids=["factor analysis", "ppca"])


@pytest.mark.parametrize("seen", [[True, True, True], [True, False, True], [False, True, False]])
def test_one_factor_by_quadrature(seen):
    model = FactorAnalysis(t([[1.0], [-0.5], [2.0]]), t([0.0, 1.0, -1.0]), t([0.5, 1.0, 0.25]))
    x, observed = t([[0.7, 0.1, -2.0]]), torch.tensor([seen])
    cells = Normal(GRID[:, None] * model.w.T + model.mean, model.var.sqrt()).log_prob(x)
    joint = (Normal(0.0, 1.0).log_prob(GRID) + (cells * observed).sum(1)).exp() * STEP
    mean = (GRID * joint).sum() / joint.sum()
    posterior = model.posterior(x, observed)
    assert abs(float(model.log_prob(x, observed)[0] - joint.sum().log())) < 1e-10
    assert abs(float(posterior.mean[0, 0] - mean)) < 1e-10
    assert abs(float(posterior.variance[0, 0] - (GRID**2 * joint).sum() / joint.sum() + mean**2)) < 1e-10


def test_mixture_with_a_missing_cell_by_quadrature():
    x = torch.stack([torch.full_like(GRID, 0.8), GRID], 1)
    parts = MultivariateNormal(MIXTURE.means, MIXTURE.covariances)
    joint = (parts.log_prob(x[:, None]) + MIXTURE.weights.log()).exp() * STEP  # [grid, K]
    row, observed = t([[0.8, math.nan]]), torch.tensor([[True, False]])
    posterior = MIXTURE.posterior(row, observed)
    shares = joint.sum(0) / joint.sum()
    means = (GRID[:, None] * joint).sum(0) / joint.sum(0)
    variances = (GRID[:, None] ** 2 * joint).sum(0) / joint.sum(0) - means**2
    assert abs(float(MIXTURE.log_prob(row, observed)[0] - joint.sum().log())) < 1e-10
    assert (posterior.component.probs[0] - shares).abs().max() < 1e-10
    assert (posterior.mean[0, :, 1] - means).abs().max() < 1e-10
    assert (posterior.covariance[0, :, 0, 0] - variances).abs().max() < 1e-10
    assert abs(float(MIXTURE.impute(row, observed)[0, 1] - (shares * means).sum())) < 1e-10


@pytest.mark.parametrize(
    "model", [MIXTURE, ProbabilisticPCA(t([[1.0], [-0.5]]), t([0.3, 0.0]), t(0.4))], ids=["mixture", "ppca"]
)
def test_density_integrates_to_one(model):
    line = torch.linspace(-12, 12, 301, dtype=torch.float64)
    area = float(line[1] - line[0]) ** 2
    assert abs(float(model.log_prob(torch.cartesian_prod(line, line)).exp().sum()) * area - 1) < 1e-10


def test_binary_factors_are_a_mixture_of_all_their_states():
    """x = W s + noise with s in {0, 1}^3, p(s_i = 1) = rate_i: enumeration against a mixture of 8 Gaussians."""
    generator = torch.Generator().manual_seed(0)
    w, x = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (3, 20))
    rate, states = t([0.2, 0.5, 0.7]), binary_states(3)
    weights = torch.where(states > 0, rate, 1 - rate).prod(1)
    assert len({tuple(s) for s in states.tolist()}) == 8
    log_joint = weights.log() + Normal(states @ w, 0.6).log_prob(x[:, None]).sum(-1)
    log_p, posterior = exact_posterior(log_joint)
    mixture = GaussianMixture(weights, states @ w, 0.36 * torch.eye(4, dtype=torch.float64).expand(8, 4, 4))
    assert (mixture.log_prob(x) - log_p).abs().max() < 1e-10
    assert (mixture.posterior(x).component.probs - posterior.probs).abs().max() < 1e-10
    q = Categorical(torch.rand(20, 8, generator=generator, dtype=torch.float64))
    assert (log_p - enumeration.elbo(log_joint, q) - enumeration.kl(q, posterior)).abs().max() < 1e-10
    assert enumeration.kl(posterior, posterior).abs().max() == 0


def test_enumeration_at_the_edge_of_floating_point():
    log_joint = t([[0.0, -2000.0], [-5.0, -math.inf]])
    log_p, posterior = exact_posterior(log_joint)
    assert log_p.tolist() == [0.0, -5.0]
    # exp(-2000) is 0 in float64, yet its logarithm is known: a KL of about 1000, not infinity.
    half = Categorical(torch.ones(2, dtype=torch.float64))
    assert abs(float(enumeration.kl(half, posterior)[0]) - (1000 - math.log(2))) < 1e-9
    assert enumeration.kl(half, posterior)[1] == math.inf
    assert enumeration.elbo(log_joint, posterior).tolist() == [0.0, -5.0]
    with pytest.raises(DataError, match=r"datum \[1\]"):
        exact_posterior(torch.tensor([[0.0, 0.0], [-math.inf, -math.inf]]))


def within_five_errors(values: Tensor, truth: Tensor) -> bool:
    """Whether the mean over dimension 0 is the truth, within five standard errors."""
    return bool(((values.mean(0) - truth).abs() < 5 * values.std(0) / math.sqrt(len(values)) + 1e-12).all())


@pytest.mark.parametrize("model", [MIXTURE, *FACTORS], ids=["mixture", "factor analysis", "ppca"])
def test_samples_have_the_moments_of_the_model(model):
    x, _ = model.sample(100_000, torch.Generator().manual_seed(0))
    if isinstance(model, GaussianMixture):
        mean = model.weights @ model.means
        apart = model.means - mean
        covariance = (model.weights[:, None, None] * (model.covariances + apart[:, :, None] * apart[:, None])).sum(0)
    else:
        mean, covariance = model.mean, model.covariance
    y = x - mean
    assert within_five_errors(x, mean)
    assert within_five_errors(y[:, :, None] * y[:, None, :], covariance)
    assert torch.equal(model.sample(3)[0], model.sample(3)[0])


@factors
def test_posteriors_of_samples_are_calibrated(model):
    """(z - m) S^(-1/2) is standard normal over joint draws of (x, z), whatever cells are missing."""
    generator = torch.Generator().manual_seed(1)
    x, z = model.sample(50_000, generator)
    q = model.posterior(x, torch.rand(x.shape, generator=generator) > 0.4)
    white = torch.linalg.solve_triangular(q.scale_tril, (z - q.mean)[..., None], upper=False)[..., 0]
    assert within_five_errors(white, torch.zeros(2))
    assert within_five_errors(white[:, :, None] * white[:, None, :], torch.eye(2))


def test_posteriors_of_mixture_samples_are_calibrated():
    """Of the rows said to belong to a component with probability p, a share p does; missing cells have their law."""
    generator = torch.Generator().manual_seed(2)
    x, k = MIXTURE.sample(50_000, generator)
    observed = torch.rand(x.shape, generator=generator) > 0.4
    q = MIXTURE.posterior(x, observed)
    first = q.component.probs[:, 0]
    for low, high in itertools.pairwise([0.0, 0.1, 0.5, 0.9, 1.0]):
        chosen = (first > low) & (first <= high)
        assert chosen.sum() > 500
        assert within_five_errors((k[chosen] == 0).double() - first[chosen], torch.zeros(()))
    lone = observed[:, 0] & ~observed[:, 1]
    rows = torch.arange(len(x))[lone]
    spread = q.covariance[q.patterns.of_row[rows], k[rows], 0, 0].sqrt()
    white = (x[rows, 1] - q.mean[rows, k[rows], 1]) / spread
    assert within_five_errors(torch.stack([white, white**2], 1), torch.tensor([0.0, 1.0]))
