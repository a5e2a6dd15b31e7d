"""Missing cells: what stands in them does not matter, and what is put there is the conditional mean."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from minamo.exact import ProbabilisticPCA, fit
from tests.exact import laws
from tests.exact.test_digits import digits


@pytest.mark.parametrize("kind", laws.KINDS)
def test_what_stands_in_a_missing_cell_does_not_matter(kind):
    x = laws.rows()
    observed = laws.mask(x)
    answers = []
    for filler in (0.0, 1e300, float("nan"), float("-inf")):
        filled = torch.where(observed, x, torch.tensor(filler, dtype=torch.float64))
        model, trace = fit(laws.start(kind, filled, observed), filled.numpy(), observed=observed.numpy(), steps=5)
        numbers = [torch.tensor(r.after) for r in trace] + [getattr(model, f.name).flatten() for f in fields(model)]
        answers.append([*numbers, model.log_prob(filled, observed), model.impute(filled, observed).flatten()])
    for other in answers[1:]:
        assert all(torch.equal(a, b) for a, b in zip(answers[0], other, strict=True))


@pytest.mark.parametrize("kind", laws.KINDS)
def test_a_mask_without_gaps_is_no_mask(kind):
    x = laws.rows()
    whole = torch.ones_like(x, dtype=torch.bool)
    model = fit(laws.start(kind, x), x, steps=3).model
    assert torch.equal(model.log_prob(x), model.log_prob(x, whole))
    assert torch.equal(model.impute(x, whole), x)


@pytest.mark.parametrize("kind", laws.KINDS)
def test_few_gaps_and_none_agree(kind):
    """The paths with and without missing cells are one model: complete rows answer alike in both."""
    x = laws.rows()
    observed = torch.ones_like(x, dtype=torch.bool)
    observed[-1, 2] = False
    model = fit(laws.start(kind, x), x, steps=3).model
    assert torch.allclose(model.log_prob(x)[:-1], model.log_prob(x, observed)[:-1], rtol=0, atol=1e-11)


def gaussian_conditional(x: np.ndarray, seen: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """E[x_mis | x_obs] of one Gaussian, row by row."""
    filled = x.copy()
    for n, o in enumerate(seen):
        gain = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, ~o)]).T
        filled[n, ~o] = mean[~o] + gain @ (x[n, o] - mean[o])
    return filled


def test_digits_without_a_fifth_of_their_cells():
    x = digits()
    observed = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) >= 0.2
    model = fit(ProbabilisticPCA.start(x, 16, observed=observed), x, observed=observed, steps=40).model
    imputed = model.impute(x, observed)
    covariance = (model.w @ model.w.T + model.var * torch.eye(64, dtype=torch.float64)).numpy()
    exact = gaussian_conditional(x.numpy(), observed.numpy(), model.mean.numpy(), covariance)
    assert np.abs(imputed.numpy() - exact).max() < 1e-10
    assert torch.equal(imputed[observed], x[observed])

    def rmse(guess: torch.Tensor) -> float:
        return float((guess - x)[~observed].square().mean().sqrt())

    column_means = ((x * observed).sum(0) / observed.sum(0)).expand_as(x)
    assert rmse(imputed) < 0.7 * rmse(column_means)


def test_a_mixture_imputes_by_its_components():
    x = laws.rows()
    observed = laws.mask(x)
    model = fit(laws.start("mixture", x, observed), x, observed=observed, steps=10).model
    shares = model.posterior(x, observed).component.probs.numpy()
    each = [
        gaussian_conditional(x.numpy(), observed.numpy(), m.numpy(), c.numpy())
        for m, c in zip(model.means, model.covariances, strict=True)
    ]
    exact = (shares.T[..., None] * np.stack(each)).sum(0)
    assert np.abs(model.impute(x, observed).numpy() - exact).max() < 1e-10
