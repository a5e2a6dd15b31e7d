"""The tail of the weights, where its shape is known."""

from __future__ import annotations

import math

import pytest
import torch

from minamo.evidence import Given, effective_samples, pareto_k, weigh
from minamo.evidence.pareto import generalized_pareto_k
from minamo.randomness import stream
from tests.evidence.test_weights import some_x, widened


def uniform(n: int, b: int) -> torch.Tensor:
    return torch.rand(n, b, generator=stream(0, "pareto"), dtype=torch.float64)


@pytest.mark.parametrize("k", [-0.4, 0.2, 0.7, 1.1])
def test_draws_of_a_generalized_pareto_law(k):
    """F^-1(u) = ((1 - u)^-k - 1) / k; the error of one estimate is about (1 + k) / sqrt(M)."""
    m, b = 500, 200
    x = (((1 - uniform(m, b)) ** -k - 1) / k).sort(0).values
    found = generalized_pareto_k(3.7 * x)
    assert float(found.std()) == pytest.approx((1 + k) / math.sqrt(m), rel=0.35)
    # The estimate has a bias of order 1 / M.
    assert abs(float(found.mean()) - k) < 5 * float(found.std()) / math.sqrt(b) + 3 / m


@pytest.mark.parametrize("s", [0.55, 0.8])
def test_weights_of_a_narrow_normal_in_two_dimensions(s):
    """q = N(0, s^2 I) for N(0, I): log w = (1 - s^2) |z / s|^2 / 2, |z / s|^2 / 2 is Exp(1): w is Pareto, k = 1 - s^2.

    What is drawn towards 1/2 as if by ten draws is taken back.
    """
    n, b = 20_000, 50
    k = 1 - s**2
    log_w = -k * torch.log(uniform(n, b))
    m = math.ceil(3 * math.sqrt(n))
    found = (pareto_k(log_w) * (m + 10) - 5) / m
    assert abs(float(found.mean()) - k) < 5 * float(found.std()) / math.sqrt(b) + 3 / m


def test_a_narrow_q_is_called_unreliable_and_a_wide_one_is_not():
    x = some_x(40, 2)
    narrow, wide = (weigh(widened(c, 2), Given(x), [2000]).pareto_k for c in (0.45, 1.3))
    assert (narrow > 0.7).double().mean() > 0.6
    assert (wide < 0.5).all()


def test_nothing_is_said_of_a_handful_and_no_tail_is_seen_where_there_is_none():
    assert pareto_k(torch.zeros(24, 3)).isnan().all()
    assert pareto_k(torch.zeros(100, 3)).tolist() == [0.0] * 3
    assert pareto_k(torch.zeros(100, 3) + 1e-9 * uniform(100, 3)).tolist() == [0.0] * 3


def test_a_thousand_equal_weights_are_a_thousand_and_one_large_one_is_one():
    log_w = torch.zeros(1000, 2, dtype=torch.float64)
    log_w[3, 1] = 1e4
    assert effective_samples(log_w).tolist() == pytest.approx([1000.0, 1.0])


def test_effective_number_is_k_over_one_plus_the_variance():
    c = 1.5
    found = weigh(widened(c), Given(some_x(500)), [4000]).effective
    expected = 4000 / (c**2 / math.sqrt(2 * c**2 - 1))
    assert float(found.mean()) == pytest.approx(expected, rel=0.01)
