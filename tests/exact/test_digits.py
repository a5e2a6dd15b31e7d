"""Probabilistic PCA on scikit-learn's digits / 16: figures that are known."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from minamo.exact import ProbabilisticPCA, fit


def digits() -> Tensor:
    return torch.tensor(load_digits().data / 16)  # type: ignore[union-attr]


def sine_of_largest_angle(a: Tensor, b: Tensor) -> float:
    """Between the column spaces of a and b: what is left of b outside a. (An arccos is blind below 1e-8.)"""
    a, b = torch.linalg.qr(a)[0], torch.linalg.qr(b)[0]
    return float(torch.linalg.matrix_norm(b - a @ (a.T @ b), ord=2))


@pytest.mark.parametrize(
    ("latent_dim", "log_p", "var", "test_log_p", "peer"),
    [
        (8, 14.210, 0.02733, 12.540, 12.542),
        (16, 23.929, 0.01472, 21.796, 21.798),
        (32, 35.247, 0.00493, 32.719, 32.721),
    ],
)
def test_closed_form(latent_dim, log_p, var, test_log_p, peer):
    """The last figure is scikit-learn's PCA.score: its divisor N - 1 widens the density, which suits new data."""
    x = digits()
    model = ProbabilisticPCA.closed_form(x, latent_dim)
    assert abs(float(model.log_prob(x).mean()) - log_p) < 1e-3
    assert abs(float(model.var) - var) < 1e-5
    train, test = map(torch.tensor, train_test_split(x.numpy(), test_size=0.2, random_state=0))
    model = ProbabilisticPCA.closed_form(train, latent_dim)
    assert abs(float(model.log_prob(test).mean()) - test_log_p) < 1e-3
    wider = len(train) / (len(train) - 1)
    model = ProbabilisticPCA(model.w * wider**0.5, model.mean, model.var * wider)
    assert abs(float(model.log_prob(test).mean()) - peer) < 1e-3


def test_em_reaches_the_eigenvectors():
    x = digits()
    exact = ProbabilisticPCA.closed_form(x, 8)
    model = fit(ProbabilisticPCA.start(x, 8), x, steps=300, tol=0).model
    assert sine_of_largest_angle(exact.w, model.w) < 1e-6
    assert abs(float(model.var / exact.var) - 1) < 1e-10
    assert torch.allclose(model.covariance, exact.covariance, rtol=0, atol=1e-8)
    assert abs(float((model.log_prob(x) - exact.log_prob(x)).mean())) < 1e-10


def test_closed_form_cannot_be_improved():
    x = digits()
    exact = ProbabilisticPCA.closed_form(x, 16)
    step = exact.m_step(x, exact.posterior(x))
    assert (step.w - exact.w).abs().max() < 1e-10
    assert abs(float(step.var - exact.var)) < 1e-12
