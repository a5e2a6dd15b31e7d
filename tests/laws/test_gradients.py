"""The gradients of the objectives, against those of bounds that are known exactly; and what each slip would break.

Every row has parameters of its own (tests/oracle/row_by_row.py), so that 100,000 rows are as many independent
gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from minamo.distributions import detached
from minamo.model import Draw, LatentVariableModel
from minamo.objectives import beta, doubly_reparameterized, elbo, iwae, rloo, score_function, sticking_the_landing
from minamo.randomness import drawing_from, stream
from tests.oracle.linear_gaussian import oracle
from tests.oracle.row_by_row import RowLinear, RowPosterior, RowPrior, gradients, rows_of

N = 100_000
OF_Q = ("posterior.mu", "posterior.log_sigma")
Theta = dict[str, Tensor]
Objective = Callable[[Draw], Tensor]


def setting(shift: float, latent_dim: int = 2, weight: float = 1.0) -> tuple[Theta, Tensor]:
    """A linear-Gaussian model, one row x of it, and q at a distance from the posterior of p(x|z)^(1/weight)."""
    truth = oracle(latent_dim, n_columns=2 * latent_dim)
    x = truth.batch(1).x[0]
    var = weight * truth.sigma**2
    precision = (truth.w**2).sum(0) / var + 1
    mu = (x - truth.log_p.mean) @ truth.w / var / precision
    theta = {
        "posterior.mu": mu + shift * torch.linspace(1.0, 0.5, latent_dim, dtype=torch.float64),
        "posterior.log_sigma": -0.5 * precision.log() + shift,
        "likelihood.w": truth.w,
        "likelihood.b": truth.log_p.mean,
        "likelihood.log_sigma": torch.tensor(math.log(truth.sigma), dtype=torch.float64),
        "prior.mean": torch.zeros(latent_dim, dtype=torch.float64),
    }
    return {name: value.detach().clone().requires_grad_() for name, value in theta.items()}, x


def model(theta: Theta, n: int = N) -> LatentVariableModel:
    """The same parameters for n rows."""
    part = {name: rows_of(value, n) for name, value in theta.items()}
    return LatentVariableModel(
        RowPrior(part["prior.mean"]),
        RowLinear(part["likelihood.w"], part["likelihood.b"], part["likelihood.log_sigma"]),
        RowPosterior(part["posterior.mu"], part["posterior.log_sigma"]),
    )


def estimates(theta: Theta, x: Tensor, objective: Objective, k: int, reparameterized: bool) -> dict[str, Tensor]:
    with drawing_from(stream(0, "gradients")):
        return gradients(model(theta), x, objective, k, N, reparameterized)


def exact_elbo(theta: Theta, x: Tensor, weight: float = 1.0) -> Tensor:
    """E_q[log p(x|z)] - weight KL(q || p), both in closed form."""
    mu, log_sigma, w, b, log_sigma_x, mean = theta.values()
    var, var_x = (2 * log_sigma).exp(), (2 * log_sigma_x).exp()
    squared = (x - w @ mu - b).square().sum() + (w**2 @ var).sum()
    kl = 0.5 * (var + (mu - mean) ** 2 - 1).sum() - log_sigma.sum()
    return -0.5 * squared / var_x - len(x) * (log_sigma_x + 0.5 * math.log(2 * math.pi)) - weight * kl


def exact_iwae_2(theta: Theta, x: Tensor, n_nodes: int = 120) -> Tensor:
    """E[log (w_1 + w_2) / 2] for one latent, by Gauss-Hermite quadrature over both draws."""
    mu, log_sigma, w, b, log_sigma_x, mean = theta.values()
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(n_nodes))
    weights = weights / weights.sum()
    z = mu + log_sigma.exp() * nodes
    residual = x - z[:, None] * w[:, 0] - b
    log_px_z = -0.5 * (residual**2).sum(-1) / (2 * log_sigma_x).exp() - len(x) * (
        log_sigma_x + 0.5 * math.log(2 * math.pi)
    )
    log_w = log_px_z - 0.5 * (z - mean) ** 2 + 0.5 * nodes**2 + log_sigma
    return weights @ torch.logaddexp(log_w[:, None], log_w) @ weights - math.log(2)


def gradient_of(bound: Callable[[Theta, Tensor], Tensor], theta: Theta, x: Tensor) -> dict[str, Tensor]:
    found = torch.autograd.grad(bound(theta, x), list(theta.values()))
    return {name: g.reshape(-1) for name, g in zip(theta, found, strict=True)}


def standard_errors(found: dict[str, Tensor], truth: dict[str, Tensor], resolution: float = 20) -> dict[str, float]:
    """|mean - truth| in standard errors, the worst component of each parameter.

    A gradient that is large beside its error is asserted, or the law could not fail. (For those of q; others may be 0.)
    """
    worst = {}
    for name, estimate in found.items():
        se = estimate.std(0) / math.sqrt(len(estimate))
        if name in OF_Q:
            assert truth[name].norm() > resolution * se.norm(), name
        worst[name] = float(((estimate.mean(0) - truth[name]).abs() / (se + 1e-12)).max())
    return worst


def bias_of_elbo(objective: Objective, k: int = 1, reparameterized: bool = True) -> dict[str, float]:
    theta, x = setting(0.4)
    found = estimates(theta, x, objective, k, reparameterized)
    return standard_errors(found, gradient_of(exact_elbo, theta, x))


def bias_of_iwae(objective: Objective) -> dict[str, float]:
    theta, x = setting(0.4, latent_dim=1)
    return standard_errors(estimates(theta, x, objective, 2, True), gradient_of(exact_iwae_2, theta, x))


def bias_of_score(objective: Objective) -> dict[str, float]:
    return bias_of_elbo(objective, k=2, reparameterized=False)


def noise_at_the_exact_posterior(objective: Objective, k: int, weight: float = 1.0) -> float:
    """Largest gradient for the parameters of q, where that of the bound is 0."""
    theta, x = setting(0.0, weight=weight)
    with drawing_from(stream(0, "noise")):
        found = gradients(model(theta, 1000), x, objective, k, 1000)
    return max(float(found[name].abs().max()) for name in OF_Q)


@pytest.mark.parametrize(
    ("objective", "k", "reparameterized"),
    [
        (elbo, 1, True),
        (sticking_the_landing, 1, True),
        (score_function, 1, False),
        (rloo, 2, False),
        (rloo, 5, False),
        (iwae, 1, True),
        (doubly_reparameterized, 1, True),
    ],
)
def test_gradients_of_the_elbo_are_unbiased(objective, k, reparameterized):
    worst = bias_of_elbo(objective, k, reparameterized)
    assert max(worst.values()) < 4, worst


def test_the_gradient_of_beta_is_unbiased_and_has_no_noise_at_its_own_best_q():
    theta, x = setting(0.4)
    truth = gradient_of(lambda theta, x: exact_elbo(theta, x, 3.0), theta, x)
    worst = standard_errors(estimates(theta, x, beta(3.0), 1, True), truth)
    assert max(worst.values()) < 4, worst
    assert max(standard_errors(estimates(theta, x, beta(2.0), 1, True), truth).values()) > 4
    assert noise_at_the_exact_posterior(beta(3.0), 1, weight=3.0) < 1e-10
    assert noise_at_the_exact_posterior(beta(3.0), 1) > 0.1


def test_the_reference_for_iwae_is_exact():
    theta, x = setting(0.4, latent_dim=1)
    fine = gradient_of(lambda theta, x: exact_iwae_2(theta, x, 200), theta, x)
    for name, value in gradient_of(exact_iwae_2, theta, x).items():
        assert (value - fine[name]).abs().max() < 1e-8


@pytest.mark.parametrize("objective", [iwae, doubly_reparameterized])
def test_gradients_of_iwae_are_unbiased(objective):
    worst = bias_of_iwae(objective)
    assert max(worst.values()) < 4, worst


@pytest.mark.parametrize("shared", [False, True], ids=["prior of its own", "prior that moves with q"])
def test_both_gradients_of_iwae_5_agree(shared):
    """The same draws for both. What a prior tells q directly, as a VampPrior does, has the plain weight."""
    theta, x = setting(0.4)
    found = {}
    for objective in (iwae, doubly_reparameterized):
        rows = model(theta)
        if shared:
            rows.prior = RowPrior(rows.posterior.mu)  # type: ignore[arg-type]
        with drawing_from(stream(0, "five draws")):
            found[objective] = gradients(rows, x, objective, 5, N)
    plain, double = found.values()
    for name in plain:
        difference = plain[name] - double[name]
        if name.startswith("likelihood") or (name == "prior.mean" and not shared):
            assert difference.abs().max() < 1e-10
        else:
            se = difference.std(0) / math.sqrt(N)
            assert plain[name].mean(0).norm() > 20 * se.norm()
            assert (difference.mean(0).abs() < 4 * se).all()
            assert double[name].var(0).sum() < 0.8 * plain[name].var(0).sum()


@pytest.mark.parametrize(("objective", "k"), [(sticking_the_landing, 1), (doubly_reparameterized, 5)])
def test_there_is_no_noise_at_the_exact_posterior(objective, k):
    assert noise_at_the_exact_posterior(objective, k) < 1e-10


@pytest.mark.parametrize(("objective", "k"), [(elbo, 1), (iwae, 5)])
def test_the_plain_gradients_have_noise_there(objective, k):
    assert noise_at_the_exact_posterior(objective, k) > 0.1


# -- the naive exchange ------------------------------------------------------------------------------------------


def naive(draw: Draw) -> Tensor:
    """Mean log w, differentiated inside the expectation when z is held constant."""
    return draw.log_w.mean(0)


def test_the_naive_exchange_of_gradient_and_expectation_is_biased():
    """d/dphi E_q[f(z)] is not E_q[d/dphi f(z)], since q moves with phi; for the decoder, which q does not know, it is.

    What the exchange leaves is -E_q[d/dphi log q(z)], the expectation of the score: 0 wherever q is.
    """
    theta, x = setting(0.4)
    found, truth = estimates(theta, x, naive, 1, False), gradient_of(exact_elbo, theta, x)
    worst = standard_errors(found, truth)
    left = standard_errors(found, {name: torch.zeros_like(value) for name, value in truth.items()}, resolution=-1)
    for name in theta:
        if name in OF_Q:
            assert worst[name] > 20
            assert left[name] < 4
        else:
            assert worst[name] < 4


def test_with_the_kl_in_closed_form_the_naive_exchange_forgets_the_reconstruction():
    theta, x = setting(0.4)
    found, truth = estimates(theta, x, elbo, 1, False), gradient_of(exact_elbo, theta, x)
    mu, log_sigma = theta["posterior.mu"], theta["posterior.log_sigma"]
    minus_kl = {"posterior.mu": -mu, "posterior.log_sigma": 1 - (2 * log_sigma).exp()}
    for name, expected in minus_kl.items():
        assert (found[name] - expected).abs().max() < 1e-10
        assert (expected - truth[name]).norm() > 0.5 * truth[name].norm()


# -- planted bugs ------------------------------------------------------------------------------------------------


def weight_not_squared(draw: Draw) -> Tensor:
    log_w = draw.log_px_z + draw.log_pz - detached(draw.q).log_prob(draw.z)
    return torch.logsumexp(log_w, 0)


def weight_squared_for_the_decoder_too(draw: Draw) -> Tensor:
    log_w = draw.log_px_z + draw.log_pz - detached(draw.q).log_prob(draw.z)
    return (log_w.detach().softmax(0) ** 2 * log_w).sum(0)


def baseline_of_all_draws(draw: Draw) -> Tensor:
    reward = (draw.log_w - draw.log_w.mean(0)).detach()
    return (reward * draw.log_qz + draw.log_px_z + draw.log_pz).mean(0)


@pytest.mark.parametrize(
    ("bug", "law"),
    [
        (weight_not_squared, bias_of_iwae),
        (weight_squared_for_the_decoder_too, bias_of_iwae),
        (baseline_of_all_draws, bias_of_score),
    ],
)
def test_planted_bugs_are_biased(bug, law):
    assert max(law(bug).values()) > 8


@pytest.mark.parametrize(("objective", "k"), [(sticking_the_landing, 1), (doubly_reparameterized, 5)])
def test_forgetting_to_detach_q_brings_the_noise_back(monkeypatch, objective, k):
    monkeypatch.setattr("minamo.objectives.detached", lambda q: q)
    assert noise_at_the_exact_posterior(objective, k) > 0.1


def test_forgetting_to_detach_q_counts_the_score_twice(monkeypatch):
    monkeypatch.setattr("minamo.objectives.detached", lambda q: q)
    assert max(bias_of_iwae(doubly_reparameterized).values()) > 8


def test_a_score_gradient_of_reparameterized_draws_would_be_biased(monkeypatch):
    monkeypatch.setattr("minamo.objectives._require_held_draws", lambda draw, name: None)
    assert max(bias_of_elbo(rloo, k=2).values()) > 8
