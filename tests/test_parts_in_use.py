"""Every prior and every likelihood through the face that users see: fit, save, load, score, sample, judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from minamo import VAE
from minamo.data import as_dataset
from minamo.errors import ConfigError, SupportError
from minamo.randomness import drawing_from, stream
from minamo.words import LIKELIHOODS, NETS, PRIORS
from tests.cases.likelihoods import LIKELIHOODS as CASES

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(400, 2))
LINE = Z @ RNG.normal(size=(2, 6)) + 0.3 * RNG.normal(size=(400, 6))


def data(word: str) -> np.ndarray:
    """400 rows of data that a likelihood is for."""
    (case,) = (case for case in CASES if case.name == word)
    with drawing_from(stream(0, "data", word)):
        return case.data(torch.from_numpy(LINE)).numpy()


SMALL: dict[str, Any] = {
    "latent_dim": 2,
    "hidden": (16,),
    "batch_size": 50,
    "max_epochs": 60,
    "patience": None,
    "compile": "off",
}


def test_every_likelihood_has_a_row_in_the_table_of_cases():
    assert set(LIKELIHOODS) <= {case.name for case in CASES}


@pytest.mark.parametrize("word", LIKELIHOODS)
def test_a_likelihood_in_use(word: str, tmp_path):
    """Trained, it explains unseen rows better than at its start; a file gives the same scores."""
    x, rest = data(word)[:300], data(word)[300:]
    vae = VAE(**SMALL, likelihood=word, learning_rate=1e-2)
    plan = vae.plan(as_dataset(x, "x"))
    before = vae.score_samples(rest)
    for state in vae.train(plan):
        assert "note" not in state.record
    gained = vae.score_samples(rest) - before
    assert gained.mean() > 5 * gained.std() / len(rest) ** 0.5
    vae.save(tmp_path / "model")
    again = VAE.load(tmp_path / "model")
    assert np.array_equal(again.score_samples(rest), vae.score_samples(rest))
    drawn = again.sample(50, draw=True, seed=1)
    assert drawn.shape == (50, 6)
    # What it draws, it gives a probability to.
    assert bool(again.model_.likelihood.support.check(torch.from_numpy(drawn)).all())
    assert ("counting" in again.model_.likelihood.measure) == (x.dtype.kind in "iu" or word == "bernoulli")


@pytest.mark.parametrize("word", PRIORS)
def test_a_prior_in_use(word: str, tmp_path):
    """Two clusters: every prior is fitted, saved, loaded; its ELBO is a bound, the IWAE a tighter one."""
    x = np.concatenate([LINE[:200] + 4, LINE[200:] - 4])
    vae = VAE(**SMALL, prior=word, components=5, learning_rate=3e-3, likelihood="normal").fit(x)
    found = vae.evidence(x, k=50)
    assert found.elbo.value <= found.iwae.value
    assert found.elbo.value == pytest.approx(found.reconstruction.value - found.kl.value)
    vae.save(tmp_path / "model")
    again = VAE.load(tmp_path / "model")
    assert np.array_equal(again.score_samples(x), vae.score_samples(x))
    assert np.array_equal(again.sample(5, seed=3), vae.sample(5, seed=3))
    keys = list(vae.model_.state_dict())
    assert len(keys) == len(set(keys))


def test_a_vamp_prior_starts_at_data_and_a_run_of_it_resumes_with_its_bits():
    vae = VAE(**{**SMALL, "max_epochs": 4}, prior="vamp", components=7, preprocess="none")
    plan = vae.plan(as_dataset(LINE, "x"))
    start: Any = plan.model.prior
    rows = LINE.astype(np.float32)
    assert all((np.abs(rows - u).max(1) < 1e-6).any() for u in start.pseudo_inputs().detach().numpy())
    states = list(vae.train(plan))
    again = VAE(**{**SMALL, "max_epochs": 4}, prior="vamp", components=7, preprocess="none")
    rest = list(again.train(again.plan(as_dataset(LINE, "x")), states[1]))
    for name, tensor in states[-1].weights.items():
        assert torch.equal(rest[-1].weights[name], tensor)


def test_the_weights_of_a_vamp_prior_are_learned_where_asked_for():
    for weighted in (False, True):
        logits: Any = VAE(**SMALL, prior="vamp", components=7, weighted=weighted).fit(LINE).model_.prior.logits
        assert bool((logits != 0).all()) == weighted
    with pytest.raises(ConfigError, match="weighted belongs to prior vamp; this one is mixture"):
        VAE(**SMALL, prior="mixture", weighted=True).plan(as_dataset(LINE, "x"))


def test_a_vamp_prior_needs_an_encoder():
    with pytest.raises(ConfigError, match="prior vamp is made of what an encoder says"):
        VAE(**SMALL, prior="vamp", posterior="per-datum").plan(as_dataset(LINE, "x"))


def test_an_exact_posterior_is_that_under_the_standard_normal():
    with pytest.raises(ConfigError, match="posterior exact is that under N"):
        VAE(**SMALL, prior="mixture", posterior="exact", net="linear").plan(as_dataset(LINE, "x"))


def test_counts_in_8_bits_are_told_from_grey_values():
    counts = RNG.poisson(3.0, (50, 4)).astype(np.uint8)
    with pytest.raises(SupportError, match="8-bit values are read as x / 255, give counts in a wider type"):
        VAE(**SMALL, likelihood="poisson").plan(as_dataset(counts, "x"))


def test_a_value_above_all_of_the_training_data_is_refused_where_it_has_no_probability():
    vae = VAE(**{**SMALL, "max_epochs": 1}, likelihood="categorical").fit(data("categorical"))
    with pytest.raises(SupportError, match=r"has 9 at row 0, .* outside the support of the categorical likelihood"):
        vae.score_samples(np.full((1, 6), 9))


def test_values_in_a_support_are_not_standardized():
    with pytest.raises(ConfigError, match="standardize would take values out of the poisson likelihood's support"):
        VAE(**SMALL, likelihood="poisson", preprocess="standardize").plan(as_dataset(data("poisson"), "x"))


@pytest.mark.parametrize("word", NETS)
def test_a_net_in_use(word: str, tmp_path):
    """On the digits as images: trained, unseen ones are explained better, and a file gives the same scores."""
    images = load_digits(return_X_y=True)[0].reshape(-1, 8, 8).astype(np.float32) / 16
    vae = VAE(8, net=word, max_epochs=8, patience=None, compile="off", likelihood="normal", scale=0.3)
    plan = vae.plan(as_dataset(images[:1000], "digits"))
    before = vae.score_samples(images[1000:1200])
    for state in vae.train(plan):
        assert "note" not in state.record
    gained = vae.score_samples(images[1000:1200]) - before
    assert gained.mean() > 5 * gained.std() / 200**0.5
    vae.save(tmp_path / "model")
    again = VAE.load(tmp_path / "model")
    assert np.array_equal(again.score_samples(images[:20]), vae.score_samples(images[:20]))
    assert again.model_.likelihood.net(torch.zeros(3, 8)).shape == (3, 64)


def test_a_convolutional_net_needs_images():
    with pytest.raises(ConfigError, match="net conv is for images, a datum here is a row of 6 numbers"):
        VAE(**SMALL, net="conv").plan(as_dataset(LINE, "x"))
