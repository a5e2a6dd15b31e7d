"""The ladder on a model where every gap is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from minamo.batch import Batch
from minamo.evidence import Gaps, Measure, gaps
from minamo.families import Diagonal, FullCovariance
from minamo.nets import Mlp
from minamo.posteriors import Amortized, Exact, Optimized, PerDatum, Posterior, SemiAmortized
from minamo.posteriors.climb import LEFT
from minamo.randomness import drawing_from, stream
from tests.oracle.correlated import Correlated, correlated, covariance, kl_to


class Served:
    """Rows of the oracle as a source of batches, in units in which a density is exp(5) times smaller."""

    log_det = -5.0

    def __init__(self, truth: Correlated, numbered: bool = False):
        self.truth, self.n_columns, self.numbered = truth, truth.w.shape[0], numbered

    def __len__(self) -> int:
        return len(self.truth.batch.x)

    def batches(self, size: int) -> Iterator[Batch]:
        for rows in torch.arange(len(self)).split(size):
            yield Batch(self.truth.batch.x[rows], rows if self.numbered else None)


def amortized(truth: Correlated, kind: type[Amortized] = Amortized, family=None) -> Amortized:
    family = family or Diagonal(truth.w.shape[1])
    with torch.random.fork_rng():
        torch.manual_seed(2)
        net = Mlp(truth.w.shape[0], family.n_params, hidden=(8,)).double()
    return kind(net, family)


def measured(truth: Correlated, posterior: Posterior, k: int = 200, numbered: bool = False) -> Gaps:
    with drawing_from(stream(0, "gaps")):
        return gaps(truth.model(posterior), Served(truth, numbered), k)


def near(measure: Measure | None, value: float, slack: float = 0.0) -> bool:
    """Within the Monte Carlo error of the draws, which the spread over rows contains, and a slack."""
    assert measure is not None
    assert measure.se is not None
    return abs(measure.value - value) <= 5 * measure.se + slack


def test_every_gap_is_what_it_is_in_closed_form():
    truth = correlated(4, 9, 0.3, n=300)
    posterior = amortized(truth)
    q = truth.model(posterior).infer(truth.batch)
    whole = float(kl_to(truth, q.mean, covariance(q)).detach().mean())
    found = measured(truth, posterior)
    encoder, semi, best, full = found.rungs
    assert [(r.posterior, r.family) for r in found.rungs] == [
        ("amortized", "diagonal"),
        ("semi-amortized", "diagonal"),
        ("per-datum", "diagonal"),
        ("per-datum", "full-covariance"),
    ]
    assert found.by == "iwae-200 with per-datum full-covariance"
    assert found.log_p.value == pytest.approx(float(truth.log_p.mean()) - 5.0, abs=LEFT)
    for rung in (encoder, semi, best):
        assert near(rung.approximation_gap, truth.mean_field_gap, LEFT)
    assert near(full.inference_gap, 0.0, LEFT)
    assert encoder.inference_gap.value == pytest.approx(whole, rel=0.02)
    assert encoder.amortization_gap is not None
    assert encoder.amortization_gap.value == pytest.approx(whole - truth.mean_field_gap, rel=0.02)
    assert near(best.amortization_gap, 0.0)


def test_the_parts_add_up_and_the_rungs_are_in_order():
    truth = correlated(4, 9, 0.3, n=100)
    rungs = measured(truth, amortized(truth)).rungs
    for r in rungs:
        assert r.approximation_gap is not None
        assert r.amortization_gap is not None
        assert r.inference_gap.value == pytest.approx(r.approximation_gap.value + r.amortization_gap.value, abs=1e-9)
    elbos = [r.elbo.value for r in rungs]
    assert elbos == sorted(elbos)
    assert [r.steps.value > 0 for r in rungs] == [False, True, True, True]
    assert rungs[2].left is not None
    assert rungs[2].left.value < LEFT


def test_with_the_exact_posterior_log_p_is_exact():
    truth = correlated(4, 9, 0.3, n=100)
    found = measured(truth, Exact(4))
    assert found.by == "exact posterior"
    assert found.log_p.value == pytest.approx(float(truth.log_p.mean()) - 5.0, abs=1e-7)
    assert found.rungs[0].inference_gap.value == pytest.approx(0.0, abs=1e-7)
    assert near(found.rungs[1].inference_gap, truth.mean_field_gap, LEFT)


def test_the_ladder_of_every_posterior():
    truth = correlated(3, 6, 0.5, n=30)
    table = PerDatum(30, Diagonal(3))
    semi = measured(truth, amortized(truth, SemiAmortized), k=10)
    assert [r.posterior for r in semi.rungs] == ["semi-amortized", "per-datum", "per-datum"]
    full = measured(truth, amortized(truth, family=FullCovariance(3)), k=10)
    assert [(r.posterior, r.family) for r in full.rungs] == [
        ("amortized", "full-covariance"),
        ("semi-amortized", "full-covariance"),
        ("per-datum", "full-covariance"),
    ]
    unseen = measured(truth, table, k=10)
    assert [r.posterior for r in unseen.rungs] == ["per-datum, as trained", "per-datum", "per-datum"]
    assert unseen.rungs[0].elbo == unseen.rungs[1].elbo  # the same search twice, judged with the same noise
    table.visited.fill_(True)
    stored = measured(truth, table, k=10, numbered=True)
    assert stored.rungs[0].steps.value == 0  # a table that was never filled is as far off as the prior
    assert stored.rungs[0].amortization_gap is not None
    assert stored.rungs[0].amortization_gap.value > 1


def test_time_is_milliseconds_a_datum_and_what_is_left_is_what_the_search_says(monkeypatch):
    truth = correlated(3, 6, 0.5, n=40)
    ticks = iter(range(1000))
    monkeypatch.setattr("minamo.evidence.ladder.time.perf_counter", lambda: float(next(ticks)))
    found = measured(truth, amortized(truth), k=5)
    assert [r.time.value for r in found.rungs] == [25.0] * 4  # one second for forty rows
    assert {r.time.unit for r in found.rungs} == {"ms/datum"}
    search = Optimized(Diagonal(3).double(), amortized(truth).double().params)
    truth.model(search).infer(truth.batch)
    assert search.left is not None
    left = found.rungs[2].left
    assert left is not None
    assert left.value == pytest.approx(float(search.left.mean()), rel=1e-6)
    assert found.rungs[0].left is None


def test_chunks_do_not_matter(monkeypatch):
    """Rows in batches of 7 and draws a few at a time: the same closed-form terms."""
    truth = correlated(3, 6, 0.5, n=30)
    whole = measured(truth, amortized(truth), k=50)
    monkeypatch.setattr("minamo.evidence.ladder.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("minamo.evidence.bounds.NUMBERS_AT_ONCE", 6 * 7 * 4)
    parts = measured(truth, amortized(truth), k=50)
    for a, b in zip(whole.rungs, parts.rungs, strict=True):
        assert a.kl.value == pytest.approx(b.kl.value, abs=1e-8)
        assert a.elbo.value == pytest.approx(b.elbo.value, abs=5 * math.hypot(a.elbo.se or 0, b.elbo.se or 0))
