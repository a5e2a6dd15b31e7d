"""What is foretold of latents, and what is counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from minamo import VAE
from minamo.evidence import forecast, mutual_information
from minamo.exact import ProbabilisticPCA
from minamo.posteriors import Exact
from minamo.randomness import drawing_from, stream
from tests.evidence.test_gaps import Served
from tests.oracle.correlated import correlated

DIGITS = torch.from_numpy(load_digits(return_X_y=True)[0] / 16)


@pytest.mark.parametrize(("latent_dim", "scale", "alive"), [(16, 1.0, 0), (16, 0.5, 5), (2, 0.5, 2), (64, 1e-6, 61)])
def test_with_a_given_sigma_the_eigenvalues_above_its_square_live(latent_dim, scale, alive):
    """digits/16: the largest eigenvalue is 0.699, five exceed 0.25, three columns are constant."""
    found = forecast(DIGITS, latent_dim, scale)
    assert found.alive == alive
    assert found.largest == pytest.approx(0.699, abs=5e-4)


@pytest.mark.parametrize("latent_dim", [8, 16, 32])
def test_with_a_learned_sigma_the_threshold_is_that_of_exact_ppca(latent_dim):
    found = forecast(DIGITS, latent_dim)
    assert found.threshold == pytest.approx(float(ProbabilisticPCA.closed_form(DIGITS, latent_dim).var), abs=1e-12)
    assert found.alive == latent_dim


def test_independent_bits_keep_no_latent_alive_and_copied_bits_keep_one_each():
    generator = torch.Generator().manual_seed(0)
    independent = (torch.rand(4000, 12, generator=generator) < 0.3).double()
    assert forecast(independent, 5, binary=True).alive == 0
    copies = independent[:, :3].repeat(1, 4)
    assert forecast(copies, 5, binary=True).alive == 3
    assert forecast(torch.ones(10, 4), 2, binary=True).alive == 0


@pytest.mark.parametrize(("scale", "alive"), [(1.0, 0), (0.5, 5)])
def test_a_linear_model_keeps_alive_what_was_foretold(scale, alive):
    """The active units of a trained model are those of the forecast.

    With a diagonal q: under the exact posterior any rotation of the latents is as good, and five directions may lie
    across six.
    """
    vae = VAE(6, net="linear", likelihood="normal", scale=scale, validation=0, max_epochs=150)
    found = vae.set_params(patience=None).fit(DIGITS.numpy()).evidence(DIGITS.numpy(), 10)
    assert found.forecast_units is not None
    assert found.forecast_units.value == alive
    assert found.active_units.value == alive
    assert sum(v > 0.01 for v in found.kl_per_latent) == alive


def test_information_between_row_and_latent_is_right():
    """Two rows, one latent: E[log q(z|n) - log (q(z|1) + q(z|2)) / 2] by quadrature."""
    truth = correlated(1, 3, 1.0, n=2)
    model = truth.model(Exact(1))
    with drawing_from(stream(0, "information")):
        draws = torch.stack([mutual_information(model, Served(truth)) for _ in range(4000)])
    q = model.infer(truth.batch)
    z = torch.linspace(-12, 12, 20_001, dtype=torch.float64)[:, None, None]
    log_q = q.log_prob(z.expand(-1, 2, -1)).detach()
    mixed = torch.logsumexp(log_q, 1) - math.log(2)
    exact = torch.trapezoid(log_q.exp() * (log_q - mixed[:, None]), z[:, 0, 0], dim=0).mean()
    per_run = draws.mean(1)
    assert 0.02 < exact < math.log(2)
    assert abs(per_run.mean() - exact) < 5 * per_run.std() / math.sqrt(len(per_run))


def test_information_is_at_most_log_n_and_reaches_it():
    truth = correlated(4, 9, 0.001, n=50)
    with drawing_from(stream(0, "information")):
        terms = mutual_information(truth.model(Exact(4)), Served(truth))
    assert terms.mean() == pytest.approx(math.log(50), abs=1e-6)


def test_the_table_says_them_side_by_side():
    x = np.random.default_rng(0).normal(size=(200, 3)) @ np.diag([3.0, 1.0, 0.1])
    said = str(VAE(2, net="linear", max_epochs=3, patience=None, preprocess="none").fit(x).evidence(x))
    for name in ("active_units", "forecast_units", "mutual_information", "KL of each latent, largest first"):
        assert name in said
