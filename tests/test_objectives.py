"""What objectives promise about their draw and the number they return; for the gradients see laws/test_gradients.py."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from minamo.batch import Batch
from minamo.distributions import GaussianMixture, kl_per_latent
from minamo.errors import ConfigError
from minamo.model import Draw, LatentVariableModel
from minamo.objectives import (
    beta,
    capacity,
    doubly_reparameterized,
    elbo,
    free_bits,
    iwae,
    rloo,
    score_function,
    sticking_the_landing,
)
from minamo.randomness import drawing_from, stream
from tests.oracle.linear_gaussian import oracle


def drawn(k: int = 4, reparameterized: bool = True) -> tuple[LatentVariableModel, Draw]:
    truth = oracle()
    with torch.no_grad():
        truth.model.posterior.net.last.bias += 0.3  # type: ignore[union-attr,operator]
    with drawing_from(stream(0, "draw")):
        return truth.model, truth.model.draw(truth.batch(3), k, reparameterized=reparameterized)


def test_the_number_is_the_bound_whatever_the_gradient():
    _, draw = drawn()
    _, held = drawn(reparameterized=False)
    assert torch.equal(draw.z, held.z)
    mean = draw.log_w.mean(0)
    for value in (sticking_the_landing(draw), score_function(held), rloo(held)):
        assert torch.allclose(value, mean, rtol=0, atol=1e-12)
    assert torch.allclose(doubly_reparameterized(draw), iwae(draw), rtol=0, atol=1e-12)
    assert torch.allclose(iwae(draw), draw.log_w.exp().mean(0).log(), rtol=0, atol=1e-10)


def test_a_draw_serves_several_objectives():
    """The doubly reparameterized gradient weighs the path through z anew, and leaves no trace on it."""
    model, draw = drawn()
    encoder = list(model.posterior.parameters())
    before = torch.autograd.grad(elbo(draw).sum(), encoder, retain_graph=True)
    torch.autograd.grad(doubly_reparameterized(draw).sum(), encoder, retain_graph=True)
    after = torch.autograd.grad(elbo(draw).sum(), encoder)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_without_a_path_to_q_there_is_the_gradient_of_the_decoder():
    model, _ = drawn()
    model.posterior.requires_grad_(False)
    with drawing_from(stream(0, "frozen")):
        draw = model.draw(Batch(torch.zeros(2, 7, dtype=torch.float64), torch.arange(2)), 3)
    decoder = list(model.likelihood.net.parameters())  # type: ignore[union-attr]
    plain, double = (
        torch.autograd.grad(objective(draw).sum(), decoder, retain_graph=True)
        for objective in (iwae, doubly_reparameterized)
    )
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(plain, double, strict=True))
    with torch.no_grad():
        assert torch.equal(doubly_reparameterized(draw), iwae(draw))


def test_draws_of_the_other_kind_are_refused():
    _, draw = drawn()
    _, held = drawn(reparameterized=False)
    for objective in (score_function, rloo):
        with pytest.raises(ConfigError, match=f"{objective.__name__} needs draws held constant"):
            objective(draw)
    for objective, name in (
        (sticking_the_landing, "sticking_the_landing"),
        (doubly_reparameterized, "doubly_reparameterized"),
        (beta(2.0), "beta"),
    ):
        with pytest.raises(ConfigError, match=f"{name} needs reparameterized draws"):
            objective(held)
    with pytest.raises(ConfigError, match="k >= 2"):
        rloo(drawn(1, reparameterized=False)[1])


def test_transforms_of_the_bound_in_closed_form():
    """beta = 1 and no free bits are the ELBO; more of either is at most it; a capacity is reached where J2 is it."""
    _, draw = drawn()
    bound, kl = sticking_the_landing(draw), (draw.log_qz - draw.log_pz).mean(0)
    assert torch.equal(beta(1.0)(draw), bound)
    torch.testing.assert_close(beta(4.0)(draw), bound - 3 * kl)
    assert torch.equal(free_bits(0.0)(draw), bound)
    parts = kl_per_latent(draw.q, draw.p)
    assert parts is not None
    for nats in (0.5, float(parts.detach().mean(0).median()), 100.0):
        lacking = (nats - parts.mean(0)).clamp_min(0).sum()
        torch.testing.assert_close(free_bits(nats)(draw), bound - lacking)
    j1, nats = draw.log_px_z.mean(0), float(draw.kl.detach().mean())
    torch.testing.assert_close(capacity(nats, 7.0)(draw), j1)
    torch.testing.assert_close(capacity(nats - 2, 7.0)(draw), j1 - 14)
    torch.testing.assert_close(capacity(nats + 2, 7.0)(draw), j1 - 14)
    assert capacity(1.0, 1.0)(draw).mean() <= elbo(draw).mean() + 1.0 + 1e-12


def test_the_parts_of_a_correlated_q_leave_out_its_dependence_and_free_bits_charge_it():
    """With full covariance the KLs of single latents add up to less than the KL; without a floor it is the ELBO."""
    tril = torch.tensor([[0.5, 0.0], [0.4, 0.2]], dtype=torch.float64)
    q = MultivariateNormal(torch.zeros(1, 2, dtype=torch.float64), scale_tril=tril)
    p = Independent(Normal(torch.zeros(2, dtype=torch.float64), 1.0), 1)
    z = torch.zeros(1, 1, 2, dtype=torch.float64, requires_grad=True)
    draw = Draw(z, torch.zeros(1, 1, dtype=torch.float64), q, p)
    assert torch.equal(free_bits(0.0)(draw), sticking_the_landing(draw))


def test_a_warm_up_raises_the_capacity():
    _, draw = drawn()
    half = Draw(draw.z, draw.log_px_z, draw.q, draw.p, 0.5)
    assert torch.equal(capacity(8.0, 3.0)(half), capacity(4.0, 3.0)(draw))


def test_a_latent_within_its_free_bits_is_not_pulled_to_the_prior():
    """Below the threshold the KL has no gradient for a latent; above it, that of the ELBO."""
    mu = torch.tensor([[0.1, 3.0]], dtype=torch.float64, requires_grad=True)
    q, p = (Independent(Normal(m, 1.0), 1) for m in (mu, torch.zeros(2, dtype=torch.float64)))
    draw = Draw(mu[None], torch.zeros(1, 1, dtype=torch.float64), q, p)
    (slope,) = torch.autograd.grad(free_bits(1.0)(draw).sum(), mu)
    assert slope.tolist() == [[0.0, -3.0]]


def test_free_bits_need_the_kl_of_every_latent():
    _, draw = drawn()
    mixture = GaussianMixture(torch.zeros(2), torch.zeros(2, 3), torch.ones(2, 3))
    with pytest.raises(ConfigError, match="free_bits needs the KL of every latent"):
        free_bits(0.1)(Draw(draw.z, draw.log_px_z, draw.q, mixture))


def test_the_weight_of_the_kl_reaches_every_objective():
    """With weight 0 each is E[log p(x|z)], or its log-mean-exp; and the KL that is reported stays the KL."""
    _, draw = drawn()
    free = Draw(draw.z, draw.log_px_z, draw.q, draw.p, 0.0)
    for objective in (elbo, sticking_the_landing, beta(3.0), free_bits(0.5)):
        torch.testing.assert_close(objective(free), draw.log_px_z.mean(0))
    torch.testing.assert_close(iwae(free), torch.logsumexp(draw.log_px_z, 0) - math.log(4))
    torch.testing.assert_close(doubly_reparameterized(free), iwae(free))
    assert torch.equal(free.kl, draw.kl)
