"""What cannot be used is refused in one line that says what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from minamo.errors import ConfigError, DataError
from minamo.exact import FactorAnalysis, GaussianMixture, ProbabilisticPCA, em, fit
from tests.exact import laws
from tests.exact.laws import t


def test_cells():
    x = laws.rows()
    model = laws.start("ppca", x)
    bad = x.clone()
    bad[3, 4] = float("inf")
    with pytest.raises(DataError, match=r"row 3, column 4 of x is inf.*`observed`"):
        model.log_prob(bad)
    with pytest.raises(DataError, match="x has 4 columns; this model has 5"):
        model.posterior(x[:, :4])
    with pytest.raises(DataError, match="got float64 of shape"):
        model.log_prob(x, np.ones(x.shape))
    with pytest.raises(DataError, match=r"got bool of shape \[5\]"):
        model.log_prob(x, torch.ones(5, dtype=torch.bool))
    with pytest.raises(DataError, match="at least one of each"):
        model.log_prob(x[:0])


@pytest.mark.parametrize("kind", laws.KINDS)
def test_a_column_never_seen(kind):
    x = laws.rows()
    observed = laws.mask(x)
    observed[:, 3] = False
    with pytest.raises(DataError, match="column 3 has no observed cell"):
        laws.start(kind, x, observed)
    model = laws.start(kind, x)
    assert model.log_prob(x, observed).isfinite().all()
    with pytest.raises(DataError, match="column 3 has no observed cell"):
        fit(model, x, observed=observed)


def test_numbers_of_latents():
    x = laws.rows()
    for cls, latent_dim in ((ProbabilisticPCA, 0), (ProbabilisticPCA, 5), (FactorAnalysis, 5)):
        with pytest.raises(ConfigError, match=f"latent_dim from 1 to 4 for 5 columns; got {latent_dim}"):
            cls.start(x, latent_dim)
    with pytest.raises(ConfigError, match="from 1 to 4"):
        ProbabilisticPCA.closed_form(x, 5)
    with pytest.raises(ConfigError, match="from 1 to 80 components"):
        GaussianMixture.start(x, 81)
    with pytest.raises(ConfigError, match="steps >= 1"):
        next(em(laws.start("ppca", x), x, steps=0))


def test_no_variance():
    x = laws.rows()
    x[:, 2] = 7.0
    with pytest.raises(DataError, match="noise variance of column 2 has fallen to 0"):
        FactorAnalysis.start(x, 2)
    with pytest.raises(DataError, match="column 2 is constant"):
        GaussianMixture.start(x, 2)
    with pytest.raises(DataError, match="sigma\\^2 is 0: choose fewer latents"):
        ProbabilisticPCA.closed_form(x[:, :3], 2)
    with pytest.raises(DataError, match="noise variance of all columns has fallen to 0"):
        ProbabilisticPCA.start(torch.ones(4, 3), 1)


def test_a_component_that_cannot_go_on():
    x = laws.rows()
    model = GaussianMixture(t([0.5, 0.5]), t([[11.0] * 5, [1e4] * 5]), torch.eye(5).expand(2, 5, 5))
    with pytest.raises(DataError, match="component 1 has lost all data"):
        fit(model, x)
    with pytest.raises(DataError, match=r"covariance of component 0 has become singular .* give floor > 0"):
        fit(GaussianMixture.start(x[:4], 1), x[:4])
    assert fit(GaussianMixture.start(x[:4], 1), x[:4], floor=1e-3).model.covariances.isfinite().all()


def test_parameters():
    eye = torch.eye(2)
    with pytest.raises(ConfigError, match="weights \\[K\\]"):
        GaussianMixture(t([1.0]), t([[0.0, 0.0]]), eye)
    with pytest.raises(ConfigError, match="sum 1"):
        GaussianMixture(t([0.5]), t([[0.0, 0.0]]), eye[None])
    with pytest.raises(ConfigError, match="component 0 is singular"):
        GaussianMixture(t([1.0]), t([[0.0, 0.0]]), torch.ones(1, 2, 2))
    with pytest.raises(ConfigError, match="one var for all columns"):
        ProbabilisticPCA(t([[1.0], [1.0]]), t([0.0, 0.0]), t([1.0, 1.0]))
    with pytest.raises(ConfigError, match="one var for each column"):
        FactorAnalysis(t([[1.0], [1.0]]), t([0.0, 0.0]), t(1.0))
    with pytest.raises(ConfigError, match="positive noise variance"):
        ProbabilisticPCA(t([[1.0], [1.0]]), t([0.0, 0.0]), t(0.0))


def test_a_posterior_is_for_the_cells_it_was_made_for():
    x = laws.rows()
    observed = laws.mask(x)
    model = laws.start("mixture", x)
    with pytest.raises(DataError, match="the same mask"):
        model.m_step(x, model.posterior(x, observed))
