"""Adam beside torch's, its gradient shortened beside torch's, and what a single wild batch may do."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from minamo.training.adam import BETA_1, Adam


def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 3))


def batches(n: int) -> list[torch.Tensor]:
    """The fourth is a thousand times as large as the others."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(20, 5, generator=generator) * (1000 if i == 3 else 1) for i in range(n)]


@pytest.mark.parametrize("clip", [None, 0.7])
def test_ten_steps_are_those_of_torch(clip: float | None):
    own, other = net(), net()
    adam, torchs = Adam(own, clip), torch.optim.Adam(other.parameters(), 1e-2)
    for x in batches(10):
        for model in (own, other):
            model.zero_grad()
            model(x).square().sum().backward()
        adam.step(1e-2)
        if clip is not None:
            nn.utils.clip_grad_norm_(other.parameters(), clip)
        torchs.step()
    for a, b in zip(own.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_shortened_gradient_keeps_its_direction_and_a_short_one_its_length():
    model = net()
    long = [torch.full_like(p, 3.0) for p in model.parameters()]
    short = [1e-3 * g for g in long]
    norm = sum(float(g.square().sum()) for g in long) ** 0.5
    clipped = Adam(model, 2.0).clipped([*long[:-1], None])
    assert clipped[-1] is None
    rest = sum(float(g.square().sum()) for g in clipped if g is not None) ** 0.5
    assert rest == pytest.approx(2.0, rel=1e-6)
    assert norm > 2.0
    assert all(g is not None and len(g.unique()) == 1 for g in clipped[:-1])
    assert all(torch.equal(a, b) for a, b in zip(Adam(model, 2.0).clipped(short), short, strict=True) if a is not None)
    zero = Adam(model, 2.0).clipped([torch.zeros(3)])[0]
    assert zero is not None
    assert torch.equal(zero, torch.zeros(3))


def test_a_wild_batch_leaves_no_more_in_the_moments_than_it_may():
    model = net()
    adam = Adam(model, 0.7)
    before = copy.deepcopy(adam.first)
    model(batches(4)[3]).square().sum().backward()
    adam.step(1e-3)
    moved = sum(float((a - b).square().sum()) for a, b in zip(adam.first, before, strict=True)) ** 0.5
    assert moved == pytest.approx((1 - BETA_1) * 0.7, rel=1e-5)
