"""A prior fitted after training: what it must reach, what it must leave alone, and that it says what it is."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from minamo import VAE
from minamo.cli.main import run as minamo
from minamo.errors import ConfigError, DataError
from minamo.randomness import drawing_from, stream

RNG = np.random.default_rng(0)
# Two clouds: whatever the encoder, the aggregated posterior is not N(0, I).
X = RNG.normal(size=(400, 4)) * 0.3 + np.where(RNG.random(400) < 0.3, 2.0, -1.0)[:, None]
HOW = {"latent_dim": 2, "net": "linear", "validation": 0, "max_epochs": 30, "patience": None}


@pytest.fixture(scope="module")
def fitted() -> VAE:
    return VAE(**HOW).fit(X)


def expected(vae: VAE) -> tuple[float, float]:
    """E[log p(z)] and E[log q(z)] over z ~ q(z) = mean_n q(z|x_n), nats; the second is the most the first can be."""
    with torch.no_grad(), drawing_from(stream(0, "aggregate")):
        (batch,) = vae.rows(X).batches(len(X))
        q = vae.model_.infer(batch)
        z = q.sample(torch.Size([50]))
        aggregated = torch.logsumexp(q.log_prob(z[:, :, None]), -1) - math.log(len(X))
        return float(vae.model_.prior().log_prob(z).mean()), float(aggregated.mean())


@pytest.mark.parametrize(
    ("prior", "how"), [("mixture", {"components": 8}), ("vamp", {"components": 8}), ("coupling", {})]
)
def test_it_comes_near_the_aggregated_posterior_and_never_above(fitted, prior, how):
    """Gibbs' inequality bounds E[log p(z)] by E[log q(z)]; N(0, I) stays far below it here."""
    before, most = expected(fitted)
    again = fitted.refit_prior(X, prior, max_epochs=150, learning_rate=1e-2, patience=None, **how)
    after, still = expected(again)
    assert still == pytest.approx(most, abs=1e-5)  # the same encoder
    assert before < most - 0.2
    assert most - 0.06 < after < most + 0.01


def test_decoder_and_encoder_are_the_same_bits(fitted):
    again = fitted.refit_prior(X, "mixture", components=3, max_epochs=3, patience=None)
    for part in ("likelihood", "posterior"):
        for name, right in getattr(fitted.model_, part).state_dict().items():
            assert torch.equal(getattr(again.model_, part).state_dict()[name], right), name
    assert np.array_equal(fitted.transform(X), again.transform(X))
    assert fitted.model_.prior.name == "normal"


def test_an_analytic_sigma_is_held_too():
    vae = VAE(**{**HOW, "max_epochs": 5, "scale": "analytic"}).fit(X)
    again = vae.refit_prior(X, "mixture", components=3, max_epochs=5, patience=None)
    assert torch.equal(vae.model_.likelihood.log_scale, again.model_.likelihood.log_scale)  # type: ignore[union-attr]


def test_its_evidence_says_so_and_its_file_keeps_it(fitted, tmp_path: Path):
    again = fitted.refit_prior(X, "mixture", components=3, max_epochs=3, patience=None)
    again.save(tmp_path / "m.safetensors")
    loaded = VAE.load(tmp_path / "m.safetensors")
    found = loaded.evidence(X)
    assert "fitted after training" in str(found)
    assert found.to_json()["ex_post"] == "mixture"
    assert "after training" not in str(fitted.evidence(X))
    assert np.array_equal(loaded.score_samples(X), again.score_samples(X))


def test_what_would_change_more_than_the_prior_is_refused(fitted):
    with pytest.raises(ConfigError, match="leave out hidden"):
        fitted.refit_prior(X, "mixture", hidden=(3,))
    with pytest.raises(ConfigError, match="nothing to be fitted"):
        fitted.refit_prior(X, "normal")


def test_a_posterior_that_looks_at_the_prior_is_refused_and_other_data_too(fitted):
    """Semi-amortized and per-datum q are searched for under the prior at hand; other data would be read otherwise."""
    moving = VAE(**{**HOW, "max_epochs": 1}, posterior="semi-amortized").fit(X)
    with pytest.raises(ConfigError, match="posterior semi-amortized would move"):
        moving.refit_prior(X, "mixture")
    with pytest.raises(DataError, match="not the data that the model was fitted on"):
        fitted.refit_prior(X[:300], "mixture")


def test_a_model_with_a_flow_can_be_pickled(fitted):
    again = fitted.refit_prior(X, "coupling", max_epochs=1, patience=None)
    assert np.array_equal(pickle.loads(pickle.dumps(again)).score_samples(X), again.score_samples(X))


def test_a_refit_that_never_reached_a_checkpoint_is_not_taken_up(tmp_path: Path, capsys):
    np.save(tmp_path / "x.npy", X)
    options = ["--latent", "2", "--net", "linear", "--validation", "0", "--max-epochs", "1"]
    assert minamo(["fit", str(tmp_path / "x.npy"), "-o", str(tmp_path / "a"), *options]) == 0
    assert minamo(["fit", "-o", str(tmp_path / "b"), "--refit", str(tmp_path / "a"), "--prior", "coupling"]) == 0
    (tmp_path / "b" / "checkpoint.safetensors").unlink()
    assert minamo(["fit", "-o", str(tmp_path / "b"), "--resume"]) == 2
    assert "begin it anew with --refit" in capsys.readouterr().err


def test_on_the_command_line(tmp_path: Path, capsys):
    """fit --refit, interrupted by its cap and taken up again, ends with the encoder of the first run."""
    np.save(tmp_path / "x.npy", X)
    options = ["--latent", "2", "--net", "linear", "--validation", "0", "--max-epochs", "2"]
    assert minamo(["fit", str(tmp_path / "x.npy"), "-o", str(tmp_path / "a"), *options]) == 0
    refit = ["fit", "-o", str(tmp_path / "b"), "--refit", str(tmp_path / "a"), "--prior", "mixture"]
    assert minamo([*refit, "--components", "3", "--max-epochs", "2"]) == 0
    assert "fitted after training" in " ".join(capsys.readouterr().out.split())
    assert minamo(["fit", "-o", str(tmp_path / "b"), "--resume", "--max-epochs", "4"]) == 0
    assert "fitted after training" in " ".join(capsys.readouterr().out.split())
    first, second = (VAE.load(tmp_path / name / "model.safetensors") for name in ("a", "b"))
    assert second.n_epochs_ == 4
    for name, right in first.model_.posterior.state_dict().items():
        assert torch.equal(second.model_.posterior.state_dict()[name], right)
    assert minamo(["fit", "-o", str(tmp_path / "c"), "--refit", str(tmp_path / "a"), "--net", "mlp"]) == 2
    assert "leave out net" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
