"""The compiled log p(x|z) says what the model says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from minamo import VAE
from minamo.evidence.weights import BLOCK, ROWS
from minamo.randomness import RowNoise
from minamo.training import weighing
from minamo.training.compiled import compiler
from minamo.training.weighing import CompiledLikelihood, fastest

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")

X = (np.random.default_rng(0).random((150, 70)) < 0.3).astype(np.uint8)


@pytest.fixture(scope="module")
def vae() -> VAE:
    return VAE(8, hidden=(66,), likelihood="bernoulli", max_epochs=2, patience=None, compile="off").fit(X)


def noise(k: int, b: int) -> torch.Tensor:
    return RowNoise(0, "z", range(b))(k, 8)


@pytest.mark.parametrize(("precision", "error"), [("float32", 2e-4), ("bf16", 0.3)])
def test_compiled_is_eager_on_tiles_full_and_not(vae, precision, error):
    """float32 to rounding; bf16 to a few thousandths of each of 70 logits, a draw at a time."""
    law = vae.model_.likelihood
    fast = CompiledLikelihood(law, 70, 8, precision)
    for k, b in ((BLOCK, ROWS), (BLOCK, 7), (5, ROWS), (3, 1)):
        x, z = torch.from_numpy(X[:b]).float(), noise(k, b)
        with torch.no_grad():
            right = law(z).log_prob(x)
        found = fast(x, z)
        assert found.shape == (k, b)
        assert (found - right).abs().max() < error


def test_evidence_is_the_same_and_says_how_it_was_computed(vae, monkeypatch):
    eager = vae.evidence(X, [10, 100])
    assert eager.arithmetic == "float32"
    monkeypatch.setattr(weighing, "WORTH_COMPILING", 0.0)
    fast = vae.evidence(X, [10, 100])
    assert fast.arithmetic.endswith(" nats against float64 on 32 rows")
    assert fast.iwae.value == pytest.approx(eager.iwae.value, abs=weighing.WITHIN)
    assert fast.arithmetic in str(fast)
    assert fast.to_json()["arithmetic"] == fast.arithmetic


@pytest.mark.slow
def test_a_small_tile_gives_what_a_large_one_gives(vae):
    law, x, z = vae.model_.likelihood, torch.from_numpy(X[:ROWS]).float(), noise(BLOCK, ROWS)
    large, small = (CompiledLikelihood(law, 70, 8, "float32", draws)(x, z) for draws in (BLOCK, 5))
    assert small.shape == (BLOCK, ROWS)
    assert (small - large).abs().max() < 2e-4


@pytest.mark.slow
def test_convolutions_are_compiled_too_and_judged_by_fewer_draws(monkeypatch):
    """Wide layers are decoded draw by draw; float64 convolutions would take longer than all the work."""
    x = np.random.default_rng(0).integers(0, 256, (100, 28, 28)).astype(np.uint8)
    vae = VAE(8, net="residual-conv", hidden=(16, 16), binarize="fixed", max_epochs=1, patience=None, compile="off")
    vae.fit(x)
    eager = vae.evidence(x, 200)
    monkeypatch.setattr(weighing, "WORTH_COMPILING", 0.0)
    monkeypatch.setattr(weighing, "JUDGED_WORK", 1e9)
    fast = vae.evidence(x, 200)
    assert fast.arithmetic.endswith(" nats against float64 on 32 rows, 32 draws")
    assert fast.iwae.value == pytest.approx(eager.iwae.value, abs=weighing.WITHIN)


def test_products_that_are_off_are_not_taken(vae, monkeypatch):
    monkeypatch.setattr(weighing, "WORTH_COMPILING", 0.0)
    monkeypatch.setattr(weighing, "WITHIN", -1.0)
    assert fastest(vae.model_, vae.rows(X), 100) == (None, "float32")


def test_what_cannot_be_compiled_is_done_without(vae, monkeypatch):
    monkeypatch.setattr(weighing, "WORTH_COMPILING", 0.0)
    assert fastest(vae.model_, vae.rows(X), 100, memory=500_000)[0] is None  # 64 rows would not fit

    def fails(*_: object) -> None:
        raise RuntimeError("no such compiler\nand more")

    monkeypatch.setattr(weighing, "CompiledLikelihood", fails)
    assert fastest(vae.model_, vae.rows(X), 100) == (None, "float32, uncompiled (no such compiler)")
