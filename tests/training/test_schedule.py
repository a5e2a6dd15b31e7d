"""The learning rate and the weight of the KL, as functions of the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from minamo import VAE
from minamo.data import as_dataset
from minamo.errors import ConfigError
from minamo.training import Schedule

X = np.random.default_rng(0).normal(size=(300, 3)) @ np.random.default_rng(1).normal(size=(3, 6))
SMALL: dict[str, Any] = {"latent_dim": 3, "hidden": (16,), "batch_size": 100, "validation": 0.2, "compile": "off"}


def whole(schedule: Schedule, epochs: int, n: int, of: str) -> torch.Tensor:
    return torch.cat([getattr(schedule, of)(epoch, n) for epoch in range(1, epochs + 1)])


def test_a_cosine_is_constant_for_half_of_the_run_and_ends_at_a_hundredth():
    rates = whole(Schedule("cosine", 8), 8, 5, "rates")
    assert torch.equal(rates[:20], torch.ones(20, dtype=torch.float64))
    assert (rates[21:].diff() < 0).all()
    assert float(rates[30]) == pytest.approx(0.505)  # halfway down
    assert 0.01 < float(rates[-1]) < 0.02


@pytest.mark.parametrize("warmup", [1, 3, 7])
def test_the_weight_of_the_kl_always_reaches_1(warmup: int):
    """Linear in the number of steps, 1 at the last step of the warm-up and ever after, whatever makes an epoch."""
    for n in (1, 4):
        weights = whole(Schedule(warmup=warmup), 8, n, "kl_weights")
        total = warmup * n
        torch.testing.assert_close(weights[:total], torch.arange(1, total + 1) / total)
        assert (weights[total - 1 :] == 1).all()
    assert (whole(Schedule(), 2, 3, "kl_weights") == 1).all()


def test_what_is_reported_is_the_bound_itself():
    """In the first epoch of a long warm-up the KL weighs next to nothing: the log still says J1 - J2."""
    vae = VAE(**SMALL, max_epochs=100, warmup=99)
    record = next(vae.train(vae.plan(as_dataset(X, "x")))).record
    assert record["elbo"] == pytest.approx(record["reconstruction"] - record["kl"], rel=1e-6)
    assert record["validation_elbo"] == pytest.approx(
        record["validation_reconstruction"] - record["validation_kl"], rel=1e-6
    )


def test_no_plateau_is_one_before_the_warm_up_is_over():
    vae = VAE(**SMALL, max_epochs=40, warmup=20, patience=1)
    waited = [state.record["waited"] for state in vae.train(vae.plan(as_dataset(X, "x")))]
    assert set(waited[:20]) == {0}


def test_the_weight_matters_in_training():
    """With a warm-up the first epochs spend more nats on z."""
    kl = []
    for warmup in (0, 30):
        vae = VAE(**SMALL, max_epochs=31, warmup=warmup, patience=None)
        states = list(vae.train(vae.plan(as_dataset(X, "x"))))
        kl.append(states[10].record["kl"])
    assert kl[1] > 1.2 * kl[0]


def test_a_run_with_a_cosine_ends_with_max_epochs_and_resumes_with_its_bits():
    how: dict[str, Any] = {**SMALL, "max_epochs": 6, "schedule": "cosine", "warmup": 2}
    vae = VAE(**how)
    states = list(vae.train(vae.plan(as_dataset(X, "x"))))
    assert len(states) == 6
    again = VAE(**how)
    rest = list(again.train(again.plan(as_dataset(X, "x")), states[2]))
    for name, tensor in states[-1].weights.items():
        assert torch.equal(rest[-1].weights[name], tensor)


def test_a_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(ConfigError, match="warmup 10 would not be over after max_epochs 10"):
        VAE(**SMALL, max_epochs=10, warmup=10).plan(as_dataset(X, "x"))


def test_one_draw_is_not_an_importance_weighted_bound():
    with pytest.raises(ConfigError, match="objective iwae of 1 draw is the ELBO"):
        VAE(**SMALL, objective="iwae").plan(as_dataset(X, "x"))
