"""Slips that are easily made, and the law that each of them breaks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.distributions import MultivariateNormal

from minamo.exact import FactorAnalysis, GaussianMixture, ProbabilisticPCA
from minamo.exact.cells import checked
from tests.exact import laws


def _kl_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (FactorAnalysis, GaussianMixture):
        right = cls.kl
        monkeypatch.setattr(cls, "kl", staticmethod(lambda q, p, right=right: -right(q, p)))


def _scale_for_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProbabilisticPCA, "_noise", property(lambda self: self.var.sqrt().expand(len(self.mean))))


def _scale_learned_as_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ProbabilisticPCA._pooled
    monkeypatch.setattr(ProbabilisticPCA, "_pooled", staticmethod(lambda total, count: right(total, count).sqrt()))


def _dropped_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minamo.exact.factor_analysis.LOG_2PI", 0.0)
    monkeypatch.setattr("minamo.exact.gaussian_mixture.LOG_2PI", 0.0)


def _no_covariance_of_z(monkeypatch: pytest.MonkeyPatch) -> None:
    right = FactorAnalysis.m_step

    def wrong(self, x, q, *, observed=None, floor=0.0):
        point = MultivariateNormal(q.mean, 1e-12 * torch.eye(q.mean.shape[1], dtype=q.mean.dtype))
        return right(self, x, point, observed=observed, floor=floor)

    monkeypatch.setattr(FactorAnalysis, "m_step", wrong)


def _no_covariance_of_missing_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    right = GaussianMixture.m_step

    def wrong(self, x, q, *, observed=None, floor=0.0):
        certain = replace(q, precision_tril=1e6 * q.precision_tril)
        return right(self, x, certain, observed=observed, floor=floor)

    monkeypatch.setattr(GaussianMixture, "m_step", wrong)


def _missing_cells_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x, observed=None, **kwargs):
        return checked(x, observed, **kwargs)[0], None

    monkeypatch.setattr("minamo.exact.factor_analysis.checked", wrong)


def gap(kind: str, missing: bool) -> float:
    return laws.gap(laws.run(kind, missing, 3))


def fall(kind: str, missing: bool) -> float:
    return laws.fall(laws.run(kind, missing))


BUGS = {
    "kl sign: mixture": (_kl_sign, partial(gap, "mixture", True)),
    "kl sign: ppca": (_kl_sign, partial(gap, "ppca", False)),
    "scale for variance": (_scale_for_variance, partial(laws.marginal_error, "ppca")),
    "scale learned as variance: slope": (_scale_learned_as_variance, partial(laws.slope, "ppca", False)),
    "half log 2 pi dropped: ppca": (_dropped_constant, partial(laws.marginal_error, "ppca")),
    "half log 2 pi dropped: mixture": (_dropped_constant, partial(laws.marginal_error, "mixture")),
    "covariance of z forgotten: slope": (_no_covariance_of_z, partial(laws.slope, "factor analysis", False)),
    "covariance of z forgotten: climb": (_no_covariance_of_z, partial(fall, "ppca", False)),
    "covariance of missing cells forgotten: slope": (
        _no_covariance_of_missing_cells,
        partial(laws.slope, "mixture", True),
    ),
    "covariance of missing cells forgotten: climb": (_no_covariance_of_missing_cells, partial(fall, "mixture", True)),
    "missing cells counted as seen": (_missing_cells_counted, partial(laws.marginal_error, "factor analysis")),
}


@pytest.mark.parametrize(("bug", "law"), BUGS.values(), ids=BUGS.keys())
def test_planted_bugs_are_caught(monkeypatch, bug, law):
    assert law() < 1e-10
    bug(monkeypatch)
    assert law() > 1e-3
