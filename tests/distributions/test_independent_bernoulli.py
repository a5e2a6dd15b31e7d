"""The fused law is torch's, in value and gradient, to the edges of its logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributions import Bernoulli, Independent

from minamo.distributions import IndependentBernoulli
from minamo.randomness import drawing_from

EDGES = [-1e4, -200.0, -30.0, -5.0, -1e-3, 0.0, 1e-3, 5.0, 30.0, 200.0, 1e4]


@pytest.mark.parametrize(("dtype", "off"), [(torch.float64, 1e-12), (torch.float32, 2e-7)])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_value_and_gradient_are_torchs_at_every_logit(dtype, off, x):
    logits = torch.tensor(EDGES, dtype=dtype)[:, None].requires_grad_()
    value = torch.full_like(logits.detach(), x)
    ours = IndependentBernoulli(logits).log_prob(value)
    right = Independent(Bernoulli(logits=logits.double()), 1).log_prob(value.double())
    torch.testing.assert_close(ours.double(), right, rtol=off, atol=off)
    (slope,) = torch.autograd.grad(ours.sum(), logits)
    (expected,) = torch.autograd.grad(right.sum(), logits)
    torch.testing.assert_close(slope, expected, rtol=off, atol=off)


def test_the_gradient_is_right_under_broadcasting_and_has_a_gradient_itself():
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(5, 3, generator=generator) < 0.5).double()

    def log_prob(logits: torch.Tensor) -> torch.Tensor:
        return IndependentBernoulli(logits).log_prob(x)

    for shape in ((3,), (5, 3), (2, 5, 3), (2, 1, 3)):
        logits = (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_()
        with drawing_from(generator):
            assert torch.autograd.gradcheck(log_prob, logits)
            assert torch.autograd.gradgradcheck(log_prob, logits)


def test_moments_and_shapes():
    law = IndependentBernoulli(torch.tensor([[0.0, 2.0, -2.0]]))
    right = Independent(Bernoulli(logits=law.logits), 1)
    assert (law.batch_shape, law.event_shape) == (right.batch_shape, right.event_shape)
    torch.testing.assert_close(law.mean, right.mean)
    torch.testing.assert_close(law.variance, right.variance)
    support: Any = law.support
    assert bool(support.check(torch.tensor([0.0, 1.0, 1.0])))
    assert not bool(support.check(torch.tensor([0.0, 0.5, 1.0])))
