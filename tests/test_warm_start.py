"""A fitted estimator that goes on: from its own weights, in its own units, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from minamo import VAE
from minamo.data import as_dataset
from minamo.errors import ConfigError, SupportError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3)) @ RNG.normal(size=(3, 6)) + 0.1 * RNG.normal(size=(300, 6))
X = X * [1, 10, 100, 1, 1, 1] + 5
HOW: dict[str, Any] = {
    "latent_dim": 2,
    "hidden": (16,),
    "batch_size": 32,
    "max_epochs": 20,
    "patience": None,
    "compile": "off",
}
NO_STEP: dict[str, Any] = {"warm_start": True, "max_epochs": 1, "learning_rate": 1e-12}


def fitted(**how: Any) -> VAE:
    return VAE(**{**HOW, **how}).fit(X)


def weights(vae: VAE) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in vae.model_.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"prior": "vamp", "components": 4},
        {"prior": "coupling"},
        {"posterior": "semi-amortized"},
        {"likelihood": "student-t"},
        {"preprocess": "none", "net": "linear"},
    ],
    ids=lambda how: " ".join(how.values() if not how.get("components") else ["vamp"]) or "default",
)
def test_without_a_step_to_speak_of_the_evidence_is_that_of_the_first_fit(how):
    vae = fitted(**how)
    before = vae.evidence(X, k=10)
    vae.set_params(**NO_STEP).fit(X)
    after = vae.evidence(X, k=10)
    for measure in ("elbo", "reconstruction", "kl", "iwae"):
        assert getattr(after, measure).value == pytest.approx(getattr(before, measure).value, abs=1e-4), measure


def test_without_warm_start_it_begins_anew():
    vae = fitted()
    before = vae.evidence(X).elbo.value
    assert vae.set_params(**{**NO_STEP, "warm_start": False}).fit(X).evidence(X).elbo.value < before - 0.3


def test_it_goes_on_where_it_was_and_a_fit_before_any_begins_at_the_beginning():
    first = VAE(**HOW, warm_start=True).fit(X)
    assert same(weights(first), weights(fitted()))
    before = first.evidence(X).elbo.value
    first.set_params(max_epochs=100).fit(X)
    assert first.evidence(X).elbo.value > before + 0.5
    assert first.n_epochs_ == 100
    assert "weights from a fit of 20 epochs (objective elbo)" in first.notes_


@pytest.mark.parametrize(
    "how",
    [{"validation": 0.2}, {"validation": 0}, {"objective": "beta", "beta": 1.5}, {"objective": "dreg", "draws": 3}],
    ids=lambda how: " ".join(map(str, how.values())),
)
def test_an_epoch_that_spoils_the_weights_does_not_replace_them(how):
    """The start is judged as epoch 0, by what is maximized now; with steps of 1 no later epoch is better."""
    vae = fitted(max_epochs=100, validation=how.get("validation", 0.1))
    before = weights(vae)
    vae.set_params(**how, warm_start=True, max_epochs=2, learning_rate=1.0, patience=5)
    last = list(vae.train(vae.plan(as_dataset(X, "x"))))[-1]
    assert not same(last.average, before)
    assert last.best_epoch == 0
    assert last.plateau.since == last.record["waited"] == 2
    assert same(weights(vae), before)
    vae.set_params(learning_rate=1e-4, max_epochs=30, objective="elbo", beta=None, draws=1)
    assert list(vae.train(vae.plan(as_dataset(X, "x"))))[-1].best_epoch > 0


def test_the_elbo_first_then_the_bound_of_five_draws():
    """The way of the README: the second fit raises what it maximizes, on the same held-out rows."""
    vae = fitted(max_epochs=200, validation=0.2)
    before = vae.evidence(X, k=5)
    vae.set_params(objective="dreg", draws=5, learning_rate=3e-4, max_epochs=50, warm_start=True)
    plan = vae.plan(as_dataset(X, "x"))
    assert plan.description["data"]["training_rows"] == 240
    values = [s.record["validation_objective"] for s in vae.train(plan)]
    assert max(values) == values[vae.n_epochs_ - 1 - values[::-1].index(max(values))]
    assert values[-1] > values[0]
    assert vae.evidence(X, k=5).iwae.value > before.iwae.value


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"latent_dim": 3}, "latent_dim was 2, not 3"),
        ({"hidden": (8,)}, r"hidden was \[16\], not \[8\]"),
        ({"net": "gated"}, "net was mlp, not gated"),
        ({"likelihood": "laplace"}, "likelihood was normal, not laplace"),
        ({"prior": "vamp"}, "prior was normal, not vamp"),
        ({"posterior": "per-datum"}, "posterior was amortized, not per-datum"),
        ({"family": "flow"}, "family was diagonal, not flow"),
        ({"scale": 1.0}, "scale was shared, not 1.0"),
        ({"preprocess": "none"}, "preprocess was auto, not none"),
        ({"random_state": 1}, "random_state was 0, not 1"),
    ],
)
def test_another_model_is_refused_and_the_fitted_one_stays(how, expected):
    vae = fitted(max_epochs=1)
    before, scores = weights(vae), vae.score_samples(X)
    with pytest.raises(ConfigError, match=f"warm_start goes on with the model of the first fit, whose {expected}"):
        vae.set_params(**how, warm_start=True).fit(X)
    assert same(weights(vae), before)
    assert np.array_equal(vae.score_samples(X), scores)


def test_other_columns_are_refused_and_the_fitted_model_still_takes_its_own():
    vae = fitted(max_epochs=1).set_params(warm_start=True)
    with pytest.raises(ConfigError, match="the columns of the first fit: X has rows of shape \\(4,\\)"):
        vae.fit(X[:, :4])
    assert vae.n_features_in_ == 6
    assert vae.transform(X).shape == (300, 2)
    table = pd.DataFrame(X, columns=list("abcdef"))
    named = VAE(**{**HOW, "max_epochs": 1}).fit(table).set_params(warm_start=True)
    with pytest.raises(ConfigError, match="missing: 'f'; unknown: 'g'"):
        named.fit(table.rename(columns={"f": "g"}))
    assert list(named.feature_names_in_) == list("abcdef")


def test_other_rows_are_read_in_the_units_of_the_first_fit():
    """Mean and spread of the new rows differ; the model, its units and so its scores stay."""
    vae = fitted()
    scores, center = vae.score_samples(X), vae.prepare_.center
    vae.set_params(**NO_STEP).fit(2 * X[:200] + 1)
    assert center is not None
    assert vae.prepare_.center is not None
    assert torch.equal(vae.prepare_.center, center)
    np.testing.assert_allclose(vae.score_samples(X), scores, atol=1e-4)
    assert "other data, read in the units of that fit" in vae.notes_[-1]


def test_other_rows_are_refused_where_each_has_a_q_of_its_own():
    vae = fitted(max_epochs=1, posterior="per-datum").set_params(**NO_STEP).fit(X)
    with pytest.raises(ConfigError, match="posterior per-datum knows the rows it was fitted on"):
        vae.fit(X + 1)


def test_counts_beyond_those_of_the_first_fit_are_refused():
    x = RNG.binomial(8, 0.4, size=(200, 4))
    vae = VAE(**{**HOW, "max_epochs": 1}, likelihood="binomial").fit(x).set_params(**NO_STEP)
    vae.fit(x[:100])
    with pytest.raises(SupportError):
        vae.fit(x + 4)


def test_a_loaded_model_goes_on_too(tmp_path):
    vae = fitted()
    vae.save(tmp_path / "m")
    again = VAE.load(tmp_path / "m").set_params(max_epochs=5, warm_start=True).fit(X)
    assert same(weights(again), weights(vae.set_params(max_epochs=5, warm_start=True).fit(X)))


def test_a_generator_for_random_state_does_not_draw_another_split():
    vae = VAE(**{**HOW, "max_epochs": 1}, random_state=np.random.RandomState(3)).fit(X)
    seed = vae.seed_
    assert vae.set_params(**NO_STEP).fit(X).seed_ == seed
