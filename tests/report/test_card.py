"""The card of a notebook: what is known of a model already, in a moment, and nothing in it is run."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from minamo import VAE, load
from tests.report.test_page import BREAK, EVIL, Tags

QUICK = {"latent_dim": 2, "hidden": (8,), "max_epochs": 2, "patience": None, "compile": "off"}
X = np.random.default_rng(0).normal(size=(80, 4)) @ np.diag([3.0, 1.0, 0.1, 2.0])
VOID = ("meta", "link", "br", "img")


@pytest.fixture(scope="module")
def fitted():
    return VAE(**QUICK).fit(load("digits"))


def seen(vae) -> Tags:
    """What a notebook shows: the bundle comes before `_repr_html_`, and both are the card."""
    bundle = vae._repr_mimebundle_()
    assert bundle["text/html"] == vae._repr_html_()
    assert bundle["text/plain"] == repr(vae)
    return Tags(bundle["text/html"])


def flat(found: Tags) -> str:
    return " ".join(found.text.split())


def test_before_the_fit_it_says_what_was_changed():
    assert "not fitted; all parameters have their defaults" in flat(seen(VAE()))
    text = flat(seen(VAE(3, likelihood="poisson", hidden=(7, 5))))
    for words in ("not fitted", "latent_dim 3", "likelihood 'poisson'", "hidden (7, 5)"):
        assert words in text
    assert "batch_size" not in text
    assert repr(VAE(3)) == "VAE(latent_dim=3)"


def test_after_it_what_was_fitted(fitted):
    text = flat(seen(fitted))
    weights = {
        "q": 64 * 8 + 8 + 8 * 4 + 4,
        "p": 2 * 8 + 8 + 8 * 64 + 64 + 1,  # and sigma
    }
    sigma = float(fitted.model_.likelihood.scale.detach())
    for words in (
        "digits: 1797 images of 8 × 8, 1617 to train on",
        "Stopped by the cap of 2 epochs",
        "N(0, I)",
        f"normal, sigma {sigma:.4g} (model units)",
        "Lebesgue measure on values divided by 16",
        "amortized, diagonal; net mlp 8",
        f"{sum(weights.values()):,}: {weights['p']:,} of p(x|z), {weights['q']:,} of q(z|x)",
        "latents 2, ",
        fitted.notes_[1],
    ):
        assert words in text, words


def test_evidence_is_shown_if_it_was_measured_and_not_measured_to_be_shown(fitted, monkeypatch):
    vae = VAE(**fitted.get_params()).fit(X)
    with monkeypatch.context() as forbidden:
        for name in ("evidence", "transform", "score_samples", "sample"):
            forbidden.setattr(VAE, name, None)
        assert "measured" not in flat(seen(vae))
    found = vae.evidence(X, 5)
    text = flat(seen(vae))
    assert f"ELBO {found.elbo} nats/datum, iwae-5 {found.iwae}, of 80 rows" in text
    vae.fit(X)
    assert "iwae-5" not in flat(seen(vae))


def test_it_costs_milliseconds(fitted):
    seen(fitted)
    began = time.process_time()
    for _ in range(20):
        fitted._repr_html_()
    assert (time.process_time() - began) / 20 < 0.02


@pytest.mark.parametrize("text", [EVIL, BREAK, "{{ 7 * 7 }}", "<b onclick='x()'>&amp;"])
def test_hostile_names_are_shown(text):
    plain = type("Hostile", (VAE,), {})
    hostile = type(text, (VAE,), {})
    names = [text, "b", "c", "d"]
    found = hostile(**QUICK).fit(pd.DataFrame(X, columns=names))
    usual = seen(plain(**QUICK).fit(pd.DataFrame(X, columns=list("abcd"))))
    fresh = seen(hostile(likelihood=text))
    assert text in fresh.text
    for told in (seen(found), fresh):
        assert told.text.count(text) >= 2  # the class, and a column or a parameter
        assert not any(key.startswith("on") for _, attributes in told.tags for key in attributes)
        assert {tag for tag, _ in told.tags} <= {tag for tag, _ in usual.tags}
    assert seen(found).count("script") == 0
    data = replace(load("digits"), name=text)
    assert text in seen(VAE(**QUICK).fit(data)).text


def test_it_is_a_fragment_that_closes_what_it_opens_and_fetches_nothing(fitted):
    for vae in (fitted, VAE(), VAE(3)):
        found, html = seen(vae), vae._repr_mimebundle_()["text/html"]
        for name in {tag for tag, _ in found.tags} - set(VOID):
            assert html.count(f"<{name}") == html.count(f"</{name}>"), name
        assert found.count("script") == found.count("link") == 0
        assert not any({"src", "href"} & set(attributes) for _, attributes in found.tags)
        style = "".join(found.raw)
        assert "prefers-color-scheme: dark" in style
        assert "url(" not in style
        assert "@import" not in style
        # A rule without the card's own class would restyle the notebook around it.
        rules = [line for line in style.splitlines() if "{" in line and not line.strip().startswith("@")]
        assert rules
        assert all(line.strip().startswith(".minamo-card") for line in rules)


def test_who_wants_text_gets_text(fitted):
    with config_context(display="text"):
        assert fitted._repr_html_() is None
        assert set(fitted._repr_mimebundle_()) == {"text/plain"}


def test_in_a_pipeline_scikit_learns_diagram_stands():
    pipe = make_pipeline(StandardScaler(), VAE(**QUICK))
    for shown in (pipe, pipe.fit(pd.DataFrame(X, columns=[EVIL, "b", "c", "d"]))):
        html = shown._repr_mimebundle_()["text/html"]
        assert "StandardScaler" in html
        assert "VAE" in html
        assert "minamo-card" not in html
        assert EVIL not in html
    assert "VAE" in estimator_html_repr(pipe.steps[1][1])


def test_a_planned_model_is_not_a_trained_one():
    vae = VAE(**QUICK)
    vae.plan(load("digits"))
    assert "Not finished: 0 epochs" in flat(seen(vae))


def test_other_parts_have_their_names():
    vae = VAE(
        2,
        **{k: v for k, v in QUICK.items() if k != "latent_dim"},
        prior="vamp",
        components=9,
        posterior="semi-amortized",
    )
    text = flat(seen(vae.fit((X > 0).astype(float))))
    assert "vamp of 9 components" in text
    assert "bernoulli" in text
    assert "semi-amortized, diagonal" in text
    # The encoder that a VampPrior calls is counted once.
    total = sum(p.numel() for p in vae.model_.parameters())
    assert f"{total:,}: " in text
