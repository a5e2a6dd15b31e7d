import math

import torch

from minamo.randomness import stream
from minamo.training.convergence import Plateau, clearly_better


def noise(n: int, name: object) -> torch.Tensor:
    return torch.randn(n, generator=stream(0, "noise", name), dtype=torch.float64)


def test_a_gain_far_below_the_error_of_the_elbo_is_seen_in_pairs():
    """Spread over data 10 nats, gain 0.02: hidden by the error of either mean (0.32), clear in pairs."""
    before = -90 + 10 * noise(1000, "data")
    after = before + 0.02 + 0.1 * noise(1000, "pairs")
    assert (after.mean() - before.mean()).abs() < before.std() / math.sqrt(1000)
    assert clearly_better(after, before)
    assert not clearly_better(before, after)


def test_noise_alone_rarely_counts_as_progress():
    """One-sided, at two standard errors: about 2.3 % of the time."""
    before = torch.zeros(500, dtype=torch.float64)
    rate = sum(clearly_better(noise(500, i), before) for i in range(1000)) / 1000
    assert 0.005 < rate < 0.05


def test_small_steps_add_up_against_the_same_anchor():
    """No single step of 0.002 ± 0.01 shows; the anchor moves on once several have added up."""
    base, spread = -90 + 10 * noise(1000, "data"), 0.3 * noise(1000, "spread")
    plateau, moved = Plateau().after(base), 0
    for epoch in range(1, 41):
        elbo = base + 0.002 * epoch + spread * (epoch % 2)
        plateau = plateau.after(elbo)
        moved += plateau.since == 0
    assert moved > 3


def test_a_plateau_counts_its_epochs():
    base = noise(100, "base")
    plateau = Plateau().after(base)
    for n in range(1, 4):
        plateau = plateau.after(base - 1)
        assert plateau.since == n
    assert plateau.after(base + 1).since == 0
