"""Mistakes that evaluations of VAEs are known for, each caught by the law that names it.

On a model with its exact posterior every bound of every row is log p(x), and every total their plain mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from minamo.batch import Batch
from minamo.errors import DataError
from minamo.evidence import Evidence, Measure, PerDatum, summarize, weigh
from minamo.posteriors import Exact
from tests.evidence.test_gaps import Served
from tests.oracle.correlated import Correlated, correlated

N = 65  # one row more than are taken together


def measured() -> tuple[Correlated, Evidence]:
    truth = correlated(4, 9, 0.3, n=N)
    # The row that is alone in its batch is unlike the others.
    x = torch.cat([truth.batch.x[:-1], truth.batch.x[-1:] + 3.0])
    p_x = torch.distributions.MultivariateNormal(
        torch.zeros(9, dtype=torch.float64), truth.w @ truth.w.T + 0.09 * torch.eye(9, dtype=torch.float64)
    )
    truth = truth._replace(batch=Batch(x), log_p=p_x.log_prob(x))
    model, ks = truth.model(Exact(4)), [1, 10]
    found = weigh(model, Served(truth), ks)
    assert found.per_datum is not None
    return truth, summarize(
        found.per_datum, torch.zeros(N), 10, 9, model.likelihood, "", None, weighed=found, samples=ks
    )


def iwae_is_log_p() -> float:
    """Largest error of the mean bound with 1 and with 10 draws."""
    truth, found = measured()
    return max(abs(m.value - (float(truth.log_p.mean()) - 5.0)) for m in found.bounds.values())


def elbo_is_log_p() -> float:
    """Of the mean ELBO, whose J1 is a mean over draws: off by a few hundredths of a nat."""
    truth, found = measured()
    return abs(found.elbo.value - (float(truth.log_p.mean()) - 5.0))


def samples_counted_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "minamo.evidence.weights.log_mean_exp", lambda w, dim: torch.logsumexp(w, dim) - math.log(w.shape[dim] + 1)
    )


def log_k_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minamo.evidence.weights.log_mean_exp", torch.logsumexp)


def mean_of_batch_means(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Measure.mean_of.__func__  # type: ignore[attr-defined]

    def wrong(cls: type[Measure], values: Tensor, unit: str) -> Measure:
        return right(cls, torch.stack([part.mean() for part in values.split(64)]), unit)

    monkeypatch.setattr(Measure, "mean_of", classmethod(wrong))


def kl_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PerDatum, "elbo", property(lambda self: self.reconstruction - 2 * self.kl))


def last_batch_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Served.batches
    monkeypatch.setattr(Served, "batches", lambda self, size: (b for b in right(self, size) if len(b.x) == size))


@pytest.mark.parametrize(("law", "error"), [(iwae_is_log_p, 1e-8), (elbo_is_log_p, 0.1)])
def test_the_laws_hold(law: Callable[[], float], error: float):
    assert law() < error


@pytest.mark.parametrize(
    ("bug", "law"),
    [
        (samples_counted_wrongly, iwae_is_log_p),
        (log_k_forgotten, iwae_is_log_p),
        (mean_of_batch_means, iwae_is_log_p),
        (mean_of_batch_means, elbo_is_log_p),
        (kl_counted_twice, elbo_is_log_p),
    ],
    ids=lambda f: f.__name__.replace("_", " "),
)
def test_planted_bugs_are_caught(monkeypatch, bug, law):
    bug(monkeypatch)
    assert law() > 0.3


def test_a_dropped_last_batch_is_caught(monkeypatch):
    last_batch_dropped(monkeypatch)
    with pytest.raises(DataError, match="has 65 rows and served 64"):
        iwae_is_log_p()
