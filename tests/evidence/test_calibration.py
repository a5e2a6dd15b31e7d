"""Calibration: an exact posterior passes, and what is none does not."""

from __future__ import annotations

import pytest
import torch

from minamo.batch import Batch
from minamo.evidence import calibration, predictive_coverage
from minamo.evidence.calibration import uniformity
from minamo.evidence.judged import Given
from minamo.families import Diagonal
from minamo.posteriors import Exact, Optimized
from minamo.randomness import drawing_from, stream
from tests.oracle.correlated import correlated
from tests.oracle.enumerable import enumerable


def test_an_exact_posterior_passes():
    truth = correlated(4, 9, 0.3)
    found = calibration(truth.model(Exact(4)), 2000)
    assert found.passed
    assert abs(found.coverage.value - 0.9) < 5 * (found.coverage.se or 0)
    assert (found.coverage.se or 1) < 0.005


def test_the_best_mean_field_q_of_a_correlated_posterior_fails():
    truth = correlated(4, 9, 0.3)
    found = calibration(truth.model(Optimized(Diagonal(4))), 500)
    assert not found.passed
    assert found.p_value < 1e-6
    assert found.coverage.value < 0.87
    assert "is not the posterior" in str(found)


def test_an_exact_posterior_is_called_none_as_rarely_as_stated():
    """p-values of uniform ranks are uniform."""
    with drawing_from(stream(0, "ranks")):
        ranks = torch.randint(0, 100, (2000, 400))
    p = uniformity(ranks).sort().values
    ideal = (torch.arange(400) + 0.5) / 400
    assert (p - ideal).abs().max() < 1.63 / 20  # Kolmogorov and Smirnov, 1 %


def test_replications_of_the_model_s_own_data_cover_them():
    """Continuous data under the exact posterior: 0.9 of the cells; under a q that is too far off, fewer."""
    truth = correlated(4, 9, 0.3, n=1500)
    exact = predictive_coverage(truth.model(Exact(4)), Given(truth.batch.x))
    assert (exact.se or 1) < 0.005
    assert abs(exact.value - 0.9) < 5 * (exact.se or 0)
    model = truth.model(Exact(4))
    model.likelihood.set_scale(0.15)  # type: ignore[operator]
    assert predictive_coverage(model, Given(truth.batch.x)).value < 0.85


def test_bits_are_ranked_with_ties_broken_at_random():
    """Any law of bits that is right covers 0.9 of them: here x ~ p(x|z) with the very z."""
    bits = enumerable()
    with drawing_from(stream(0, "bits")):
        z, x = bits.model.simulate(3000)
    posterior = bits.model.posterior
    places = {"at": 0}

    def known(batch: Batch, log_joint: object) -> torch.distributions.Distribution:
        rows = slice(places["at"], places["at"] + len(batch.x))
        places["at"] = rows.stop
        return torch.distributions.Independent(torch.distributions.Normal(z[rows], 1e-9), 1)

    posterior.forward = known  # type: ignore[method-assign]
    found = predictive_coverage(bits.model, Given(x))
    assert (found.se or 1) < 0.005
    assert found.value == pytest.approx(0.9, abs=5 * (found.se or 0))
