"""log p = ELBO + KL for every datum, and what EM owes to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, MultivariateNormal

from minamo.errors import DataError
from minamo.exact import GaussianMixture, MixturePosterior, em, fit
from tests.exact import laws

both = pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
every = pytest.mark.parametrize("kind", laws.KINDS)


@both
@every
def test_log_p_is_elbo_plus_kl_after_every_half_step(kind, missing):
    assert laws.gap(laws.run(kind, missing)) < 1e-10


@both
@every
def test_em_climbs(kind, missing):
    records = laws.run(kind, missing)
    assert laws.fall(records) < 1e-10
    assert laws.kl_after_e(records) < 1e-10
    assert records[-1].after.log_p - records[0].after.log_p > 0.1
    assert max(r.after.kl for r in records if r.half == "M") > 1e-4


@both
@every
def test_the_m_step_is_at_the_top_of_the_elbo(kind, missing):
    assert laws.slope(kind, missing) < 1e-10


@every
def test_log_p_of_what_is_observed_is_the_marginal(kind):
    assert laws.marginal_error(kind) < 1e-10


def any_q(model: Any, x: torch.Tensor, observed: torch.Tensor | None) -> Any:
    """Some q far from the posterior, in every parameter that it has."""
    exact = model.posterior(x, observed)
    generator = torch.Generator().manual_seed(5)
    if not isinstance(exact, MixturePosterior):
        shape = torch.randn(*exact.mean.shape, 2, generator=generator, dtype=torch.float64)
        shift = torch.randn(exact.mean.shape, generator=generator, dtype=torch.float64)
        return MultivariateNormal(exact.mean + shift, exact.covariance_matrix + shape @ shape.mT)
    tilt = torch.randn(exact.component.logits.shape, generator=generator, dtype=torch.float64)
    seen = exact.patterns.observed[exact.patterns.of_row][:, None]
    shift = torch.randn(exact.mean.shape, generator=generator, dtype=torch.float64).masked_fill(seen, 0.0)
    tril = exact.precision_tril
    squeeze = torch.where(exact.patterns.real[:, None, :, None], 1.7 * tril, tril)
    return replace(exact, component=Categorical(logits=0.1 * tilt), mean=exact.mean + shift, precision_tril=squeeze)


@both
@every
def test_log_p_is_elbo_plus_kl_for_any_q(kind, missing):
    x = laws.rows()
    observed = laws.mask(x) if missing else None
    model = fit(laws.start(kind, x, observed), x, observed=observed, steps=3).model
    q, posterior = any_q(model, x, observed), model.posterior(x, observed)
    kl = model.kl(q, posterior)
    assert kl.min() > 1e-3
    assert (model.log_prob(x, observed) - model.elbo(x, q, observed=observed) - kl).abs().max() < 1e-10
    # The M-step does not ask where q comes from: any q, and the ELBO cannot fall.
    better = model.m_step(x, q, observed=observed)
    assert (better.elbo(x, q, observed=observed) - model.elbo(x, q, observed=observed)).mean() > 1e-3


@settings(max_examples=40)
@given(
    kind=st.sampled_from(laws.KINDS),
    n=st.integers(6, 40),
    d=st.integers(2, 5),
    share=st.sampled_from([0.0, 0.1, 0.5]),
    seed=st.integers(0, 10**6),
    floor=st.sampled_from([0.0, 0.05]),
)
def test_em_climbs_on_any_data(kind, n, d, share, seed, floor):
    x = laws.rows(n, d, seed)
    observed = laws.mask(x, share, seed)
    records = []
    try:
        model = laws.start(kind, x, observed, seed, floor)
        for record in em(model, x, observed=observed, steps=8, tol=0, floor=floor):
            records.append(record)
    except DataError:  # few rows can make a covariance singular, which is said, never passed over
        assert floor == 0
    assert not records or laws.fall(records) < 1e-10
    # Without a floor a covariance may be on its way to singular, and log p loses digits as it goes.
    assert not records or laws.gap(records) < (1e-10 if floor else 1e-7)


@every
def test_a_row_without_cells_says_nothing(kind):
    x = laws.rows()
    observed = laws.mask(x)
    model = fit(laws.start(kind, x, observed), x, observed=observed, steps=3).model
    posterior, prior = model.posterior(x, observed), model.prior(x, observed)
    assert model.log_prob(x, observed)[1].abs() < 1e-12
    assert model.kl(posterior, prior)[1].abs() < 1e-12
    if isinstance(model, GaussianMixture):
        assert torch.allclose(posterior.component.probs[1], model.weights, atol=1e-12)


@every
def test_a_constant_column_meets_the_floor(kind):
    """The M-step is exact under the constraint, so that log p still climbs."""
    x = laws.rows()
    x[:, 2] = 7.0
    records = list(em(laws.start(kind, x, floor=0.01), x, steps=20, tol=0, floor=0.01))
    assert laws.fall(records) < 1e-10
    assert laws.gap(records) < 1e-10


def test_it_stops_when_log_p_does():
    x = laws.rows()
    model, trace = fit(laws.start("ppca", x), x, tol=1e-6)
    assert [r.half for r in trace[:2]] == ["E", "M"]
    assert 2 < len(trace) < 2000
    assert trace[-1].gain < 1e-6 <= trace[-3].gain
    assert trace[-1].model is model
    assert trace[0].each is None
