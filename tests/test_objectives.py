"""What objectives promise about their draw and the number they return; for the gradients see laws/test_gradients.py."""

from __future__ import annotations

import pytest
import torch

from minamo.batch import Batch
from minamo.errors import ConfigError
from minamo.model import Draw, LatentVariableModel
from minamo.objectives import doubly_reparameterized, elbo, iwae, rloo, score_function, sticking_the_landing
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
    for objective in (sticking_the_landing, doubly_reparameterized):
        with pytest.raises(ConfigError, match=f"{objective.__name__} needs reparameterized draws"):
            objective(held)
    with pytest.raises(ConfigError, match="k >= 2"):
        rloo(drawn(1, reparameterized=False)[1])
