from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from minamo import VAE
from minamo.errors import ConfigError, DataError, RunError, SupportError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3)) @ RNG.normal(size=(3, 6)) + 0.1 * RNG.normal(size=(300, 6))
QUICK = {"latent_dim": 2, "hidden": (16,), "max_epochs": 3, "patience": None}


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE(**QUICK).fit(X)


@parametrize_with_checks([VAE(latent_dim=2, hidden=(8,), max_epochs=2, patience=None)])
def test_scikit_learn(estimator, check):
    check(estimator)


def test_no_check_is_skipped_that_pca_passes():
    """Names of passed checks: all of PCA's are among ours, save those for sparse input, which PCA alone takes."""

    def passed(estimator):
        results = check_estimator(estimator, on_skip=None, on_fail=None)
        return {r["check_name"] for r in results if r["status"] == "passed"}

    ours = passed(VAE(latent_dim=2, hidden=(8,), max_epochs=2, patience=None))
    assert {name for name in passed(PCA()) - ours if "sparse" not in name} == set()


def test_rows_are_judged_alone(vae):
    """No answer depends on the rows beside it or on their order."""
    order = RNG.permutation(len(X))
    for method in (vae.transform, vae.reconstruct, vae.score_samples):
        whole = method(X)
        assert np.allclose(method(X[order]), whole[order], atol=1e-10)
        assert np.allclose(method(X[7:8]), whole[7:8], atol=1e-10)


def test_answers_repeat(vae):
    for method in (vae.transform, vae.score_samples, lambda x: vae.sample(5), lambda x: vae.evidence(x).iwae.value):
        assert np.array_equal(method(X), method(X))


def test_inverse_transform_speaks_data_units():
    """Columns of other sizes: the reconstruction error stays a fraction of each column's spread."""
    units = np.array([1, 1e3, 1e-3, 5, 1e6, 1])
    vae = VAE(latent_dim=3, net="linear", validation=0, max_epochs=300, patience=None).fit(X * units + units)
    error = (vae.reconstruct(X * units + units) - (X * units + units)).std(0)
    assert (error < 0.3 * (X * units).std(0)).all()


def test_score_is_a_density_in_data_units():
    """The mean log p of a well-fitted linear model is that of a Gaussian with its covariance, here full rank."""
    vae = VAE(latent_dim=5, net="linear", validation=0, max_epochs=800, patience=None).fit(X)
    centered = X - X.mean(0)
    covariance = centered.T @ centered / len(X)
    best = -0.5 * (6 * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + 6)
    assert vae.score(X) <= best + 0.01
    assert vae.score(X) == pytest.approx(best, abs=0.25)


def test_samples_and_draws(vae):
    means, draws = vae.sample(2000), vae.sample(2000, draw=True)
    assert draws.std() > means.std()
    assert np.abs(draws.mean(0) - X.mean(0)).max() < 5 * X.std() / np.sqrt(2000) + 1
    assert not np.array_equal(vae.sample(3), vae.sample(3, seed=1))


def test_save_and_load_keep_every_answer(vae, tmp_path):
    vae.save(tmp_path / "model.safetensors")
    again = VAE.load(tmp_path / "model.safetensors")
    assert np.array_equal(again.transform(X), vae.transform(X))
    assert np.array_equal(again.score_samples(X), vae.score_samples(X))
    assert np.array_equal(again.sample(3, draw=True), vae.sample(3, draw=True))
    assert again.evidence(X) == vae.evidence(X)
    assert again.get_params() == vae.get_params()
    assert again.notes_ == vae.notes_


def test_a_loaded_model_knows_how_its_training_ended(tmp_path):
    fitted = VAE(np.int64(2), hidden=(np.int64(8),), max_epochs=3, patience=None).fit(X)  # type: ignore[arg-type]
    fitted.save(tmp_path / "m")
    again = VAE.load(tmp_path / "m")
    assert (again.stopped_, again.n_epochs_) == (fitted.stopped_, fitted.n_epochs_) == ("max_epochs", 3)
    assert again.get_params()["latent_dim"] == 2


def test_float32_goes_back_as_float32_binarized_or_not():
    x = np.abs(X / np.abs(X).max()).astype(np.float32)
    for binarize in ("none", "dynamic"):
        fitted = VAE(**QUICK, binarize=binarize).fit(x)
        assert fitted.transform(x).dtype == np.float32
        assert fitted.transform(x.astype(np.float64)).dtype == np.float64


def test_bytes_mean_intensities_to_a_model_of_the_unit_interval():
    """Fitted on x / 255 or on bytes, a model reads both alike; a table's bytes are numbers like any other."""
    images = RNG.integers(0, 256, (40, 4, 4), dtype=np.uint8)
    images[0] = 255
    fitted = VAE(**QUICK).fit(images / 255)
    assert np.allclose(fitted.transform(images), fitted.transform(images / 255), atol=1e-6)


def test_small_values_are_standardized():
    """Values in [0, 0.0001] are no intensities: without standardization sigma's floor would hide them."""
    fitted = VAE(**QUICK).fit(1e-4 * np.abs(X) / np.abs(X).max())
    assert fitted.prepare_.center is not None


def test_a_model_file_says_what_it_is_of(vae, tmp_path):
    from minamo import model_file

    vae.save(tmp_path / "m")
    _, header = model_file.read(tmp_path / "m", "model")
    assert {"params", "schema", "prepare", "likelihood", "fingerprint", "format"} <= header.keys()
    assert b"pickle" not in (tmp_path / "m").read_bytes()


def test_model_files_that_cannot_be_read(vae, tmp_path):
    path = tmp_path / "m"
    vae.save(path)
    whole = path.read_bytes()
    for cut in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(RunError, match="cut short"):
            VAE.load(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(RunError, match="cut short"):
        VAE.load(path)
    path.write_bytes(whole.replace(b'\\"format\\": 3', b'\\"format\\": 9'))
    with pytest.raises(RunError, match="newer minamo"):
        VAE.load(path)
    with pytest.raises(RunError, match="no model file"):
        VAE.load(tmp_path / "none")


def test_it_works_in_a_pipeline_and_a_grid():
    x, y = load_digits(return_X_y=True)
    x, y = x[:300], y[:300]
    pipe = make_pipeline(StandardScaler(), VAE(**{**QUICK, "latent_dim": 8, "max_epochs": 40}), LogisticRegression())
    assert pipe.fit(x, y).score(x, y) > 0.5
    search = GridSearchCV(VAE(**QUICK), {"latent_dim": [1, 3]}, cv=2).fit(X)
    assert search.best_params_["latent_dim"] in (1, 3)
    best: Any = search.best_estimator_
    copied: Any = clone(best)
    assert copied.get_params() == best.get_params()
    names = VAE(**QUICK).set_output(transform="default").fit(X).get_feature_names_out()
    assert list(names) == ["vae0", "vae1"]


def test_images_keep_their_bytes():
    """8-bit images go in as they are and mean the same as x / 255."""
    images = RNG.integers(0, 256, (40, 4, 4), dtype=np.uint8)
    vae = VAE(**QUICK).fit(images)
    assert vae.schema_.shape == (4, 4)
    assert vae.prepare_.center is None
    assert np.allclose(vae.transform(images), vae.transform(images.reshape(40, 16) / 255), atol=1e-6)
    assert vae.sample(2).shape == (2, 16)


def test_auto_takes_what_the_data_are():
    binary = (X > 0).astype(float)
    assert VAE(**QUICK).fit(binary).description_["likelihood"] == "bernoulli"
    vae = VAE(**QUICK).fit(X)
    assert vae.description_["likelihood"] == "normal"
    assert any("likelihood normal (the data are numbers from" in note for note in vae.notes_)
    assert VAE(**QUICK, binarize="dynamic").fit(np.abs(X) / 99).description_["likelihood"] == "bernoulli"


def test_grey_values_under_bernoulli_are_refused_with_two_remedies():
    grey = np.full((20, 3), 0.25)
    with pytest.raises(SupportError, match=r"0.25 at row 0, column 0.*--binarize dynamic.*another likelihood"):
        VAE(**QUICK, likelihood="bernoulli").fit(grey)
    with pytest.raises(SupportError, match=r"only values in \[0, 1\]"):
        VAE(**QUICK, binarize="dynamic").fit(3 * grey + 1)
    fitted = VAE(**QUICK).fit((X > 0).astype(float))
    with pytest.raises(SupportError, match="outside the support"):
        fitted.score_samples(X)


def test_a_hopeless_scale_is_forecast():
    notes = VAE(**QUICK, scale=100.0, preprocess="none")
    notes.plan(notes._checked(X, reset=True))
    assert any("no latent can survive" in n for n in notes.notes_)
    some = VAE(**{**QUICK, "latent_dim": 5}, scale=0.5, preprocess="none")
    some.plan(some._checked(X, reset=True))
    assert any("3 of 5 latents can survive" in n for n in some.notes_)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"latent_dim": 0}, "latent_dim must be a whole number of at least 1, got 0"),
        ({"likelihood": "bernuolli"}, "did you mean 'bernoulli'"),
        ({"net": "mpl"}, "did you mean 'mlp'"),
        ({"scale": -1.0}, "scale must be positive"),
        ({"scale": "sharde"}, "did you mean 'shared'"),
        ({"binarize": "dinamic"}, "did you mean 'dynamic'"),
        ({"preprocess": "standardise"}, "did you mean 'standardize'"),
        ({"validation": -0.1}, "validation must be"),
        ({"validation": 300}, "leaves no row"),
        ({"validation": 2.5}, "validation must be"),
        ({"learning_rate": 0.0}, "learning_rate must be positive|learning_rate must be a positive"),
        ({"hidden": (0,)}, "hidden must be widths"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"likelihood": "normal", "binarize": "fixed"}, "not for"),
    ],
)
def test_parameters_that_cannot_be(params, words):
    with pytest.raises((ConfigError, DataError), match=words):
        VAE(**{**QUICK, **params}).fit(X)


def test_constant_columns_are_kept_with_a_warning():
    x = X.copy()
    x[:, 4] = 3.5
    with pytest.warns(UserWarning, match="1 of 6 columns holds one value only and are kept: column 4"):
        vae = VAE(**QUICK).fit(x)
    assert vae.reconstruct(x).shape == x.shape


def test_the_cap_is_reported():
    with pytest.warns(UserWarning, match="before convergence"):
        VAE(latent_dim=2, hidden=(4,), max_epochs=2).fit(X)


def test_evidence_prints_and_exports(vae):
    found = vae.evidence(X, k=10)
    plain = found.to_json()
    assert set(plain["elbo"]) == {"value", "se", "n", "unit"}
    assert plain["samples"] == 10
    assert plain["elbo"]["value"] == pytest.approx(plain["reconstruction"]["value"] - plain["kl"]["value"], abs=1e-6)
    bits = plain["bits_per_dim"]["value"]
    assert bits == pytest.approx(-plain["iwae"]["value"] / (6 * np.log(2)))
    assert "iwae-10" in str(found)
    assert "Lebesgue measure on values as given" in str(found)
