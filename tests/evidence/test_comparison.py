"""Two models on the same rows, and floors that no model reaches."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from minamo import VAE
from minamo.errors import DataError, EvidenceError
from minamo.evidence import Given, Measure, compare, refuse_below_floor, weigh
from minamo.posteriors import Exact
from minamo.randomness import RowNoise
from tests.oracle.correlated import correlated

X = np.random.default_rng(0).normal(size=(200, 3)) @ np.diag([3.0, 1.0, 0.1]) + 5.0
QUICK = {"net": "linear", "max_epochs": 2, "patience": None}


def test_the_difference_of_two_known_models_is_the_known_one():
    """The data's own model and one with twice its sigma, both with exact posteriors: no noise but that of the data."""
    truth = correlated(3, 6, 0.5, n=400)
    first, second = truth.model(Exact(3)), truth.model(Exact(3))
    second.likelihood.set_scale(1.0)  # type: ignore[operator]
    bounds = [weigh(m, Given(truth.batch.x), [2]).bounds[0] for m in (first, second)]
    eye = torch.eye(6, dtype=torch.float64)
    other = torch.distributions.MultivariateNormal(torch.zeros(6).double(), truth.w @ truth.w.T + eye)
    exact = truth.log_p - other.log_prob(truth.batch.x)
    found = compare(bounds[0], bounds[1], ("narrow", "wide"))
    assert found.difference.value == pytest.approx(float(exact.mean()), abs=1e-8)
    assert found.difference.se == pytest.approx(float(exact.std()) / 20, abs=1e-8)
    assert found.better == "narrow"
    assert str(found).startswith("narrow is better by ")
    assert str(compare(bounds[1], bounds[0], ("wide", "narrow"))).startswith("narrow is better by ")


def test_a_pair_is_told_apart_where_two_means_are_not():
    """Rows differ by 30 nats among themselves and by 0.1 between the models."""
    base = 30 * RowNoise(0, "base", range(500))(1)[:, 0]
    noise = 0.2 * RowNoise(0, "noise", range(500))(1)[:, 0]
    found = compare(base + 0.1 + noise, base)
    assert found.better == "A"
    assert found.difference.se == pytest.approx(0.2 / math.sqrt(500), rel=0.1)
    assert compare(base + 0.1 * noise, base).better is None
    with pytest.raises(DataError, match=r"\[500\] of A and \[499\] of B"):
        compare(base, base[1:])


def test_a_model_is_level_with_itself_and_standardization_does_not_matter():
    raw = VAE(1, preprocess="none", **QUICK).fit(X)
    same = raw.compare(raw, X)
    assert same.difference.value == 0.0
    assert same.better is None
    other = VAE(1, preprocess="standardize", **QUICK).fit(X)
    found = raw.compare(other, X, names=("raw", "standardized"))
    separate = raw.evidence(X).iwae.value - other.evidence(X).iwae.value
    assert found.difference.value == pytest.approx(separate, abs=1e-6)


def test_models_of_other_data_are_not_compared():
    bits = (X > 5).astype(float)
    one, two = VAE(1, **QUICK).fit(X), VAE(1, likelihood="bernoulli", **QUICK).fit(bits)
    with pytest.raises(DataError, match=r"A has a density over: Lebesgue measure .* B has a density over: counting"):
        one.compare(two, X)
    with pytest.raises(DataError, match="A has columns: 3, B has columns: 2"):
        one.compare(VAE(1, **QUICK).fit(X[:, :2]), X)
    grey = VAE(1, binarize="dynamic", **QUICK).fit(np.clip(X / 20, 0, 1))
    with pytest.raises(DataError, match="binarization"):
        two.compare(grey, bits)


def test_columns_of_other_names_or_in_another_order_are_not_compared():
    """Rows are served by place, so a model of (b, a, c) would read the a of (a, b, c) as its b."""
    table = pd.DataFrame(X, columns=list("abc"))
    one, two = VAE(1, **QUICK).fit(table), VAE(1, **QUICK).fit(table[["b", "a", "c"]])
    with pytest.raises(DataError, match="A has columns: 'a', 'b', B has columns: 'b', 'a', in another order"):
        one.compare(two, table)
    other = VAE(1, **QUICK).fit(table.rename(columns={"c": "d"}))
    with pytest.raises(DataError, match="A has columns: 'c', B has columns: 'd'"):
        one.compare(other, table)
    wide = pd.DataFrame(np.tile(X, 3)[:, :8], columns=list("abcdefgh"))
    models = [VAE(1, **QUICK).fit(wide[list(order)]) for order in ("abcdefgh", "hgfedcba")]
    with pytest.raises(DataError, match="'d', 'e' and so on, B has columns: 'h', 'g'"):
        models[0].compare(models[1], wide)
    again, nameless = VAE(1, **QUICK).fit(table), VAE(1, **QUICK).fit(X)
    assert one.compare(again, table).difference.value == 0.0
    assert nameless.compare(again, X).difference.value == 0.0


def test_images_of_other_shapes_are_not_compared():
    images = np.random.default_rng(0).random((50, 2, 6))
    one, two = (VAE(1, **QUICK).fit(images.reshape(50, *shape)) for shape in ((2, 6), (3, 4)))
    with pytest.raises(DataError, match=r"A has images: \(2, 6\), B has images: \(3, 4\)"):
        one.compare(two, images)
    assert one.compare(VAE(1, **QUICK).fit(images.reshape(50, 12)), images).difference.value == 0.0


def test_binarized_by_other_seeds_both_see_the_same_bits():
    grey = np.random.default_rng(1).random((150, 4))
    one, two = (VAE(1, binarize="dynamic", random_state=s, **QUICK).fit(grey) for s in (0, 1))
    rows = one.rows(grey)
    theirs = one.same_rows(two, grey)
    a, b = (next(iter(r.batches(150))).x for r in (rows, theirs))
    assert torch.equal(a, b)
    assert not torch.equal(a, next(iter(two.rows(grey).batches(150))).x)


def test_below_the_floor_is_a_bug_and_above_it_is_not():
    nats = "nats/datum"
    with pytest.raises(EvidenceError, match=r"44\.00 nats/datum is below 45\.53"):
        refuse_below_floor("mnist", Measure(-44.0, 0.1, 10_000, nats))
    with pytest.raises(EvidenceError, match="fashion-mnist"):
        refuse_below_floor("fashion-mnist", Measure(600.0, 3.0, 10_000, nats))
    refuse_below_floor("mnist", Measure(-78.0, 0.1, 10_000, nats))
    refuse_below_floor("mnist", Measure(-44.0, 5.0, 20, nats))
    refuse_below_floor("digits", Measure(24.0, 0.1, 1797, nats))
