from __future__ import annotations

import copy
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from minamo import VAE
from minamo.data import as_dataset
from minamo.errors import TrainingError
from minamo.training import State
from tests.oracle.linear_gaussian import ppca

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3)) @ RNG.normal(size=(3, 6)) + 0.1 * RNG.normal(size=(300, 6))
SMALL = {"latent_dim": 3, "hidden": (16,), "batch_size": 64, "max_epochs": 8}


def states(vae: VAE, state: State | None = None, x: np.ndarray = X) -> list[State]:
    return list(vae.train(vae.plan(as_dataset(x, "x")), state))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    "how",
    [
        {"scale": "shared"},
        {"scale": "analytic"},
        {"scale": 0.5},
        {"posterior": "per-datum"},
        {"posterior": "semi-amortized", "family": "full-covariance"},
        {"posterior": "exact", "net": "linear"},
        {"family": "flow"},
    ],
    ids=lambda how: " ".join(map(str, how.values())),
)
def test_resuming_from_any_epoch_ends_with_the_same_bits(how):
    whole = states(VAE(**SMALL, **how))
    for stop in (1, 4, 7):
        tensors, plain = whole[stop - 1].to_parts()
        taken_up = State.from_parts(copy.deepcopy(tensors), copy.deepcopy(plain))
        rest = states(VAE(**SMALL, **how), taken_up)
        assert [s.epoch for s in rest] == list(range(stop + 1, 9))
        for key in ("weights", "average", "moments", "best"):
            assert same(getattr(rest[-1], key), getattr(whole[-1], key)), key
        assert rest[-1].best_judged == whole[-1].best_judged


def test_resuming_across_a_fall_of_the_learning_rate():
    """The first epoch after a fall begins from the best weights, killed or not."""

    def begin(state: State | None = None) -> list[State]:
        vae = VAE(**{**SMALL, "max_epochs": 300}, learning_rate=0.03)
        plan = vae.plan(as_dataset(X[:60], "x"))
        impatient = replace(plan.settings, patience=2)
        return list(vae.train(replace(plan, settings=impatient), state))

    whole = begin()
    assert whole[-1].stopped == "converged"
    falls = [s for s, before in zip(whole[1:], whole, strict=False) if s.drops > before.drops]
    assert len(falls) == 2
    for fall in falls:
        assert same(fall.weights, fall.best)
        rest = begin(fall)
        assert rest[-1].epoch == whole[-1].epoch
        assert same(rest[-1].weights, whole[-1].weights)


def test_same_seed_same_bits_other_seed_other_bits():
    first, second = (states(VAE(**SMALL))[-1] for _ in range(2))
    assert same(first.weights, second.weights)
    assert not same(first.weights, states(VAE(**SMALL, random_state=1))[-1].weights)


def test_the_model_ends_with_the_best_average():
    vae = VAE(**SMALL)
    last = states(vae)[-1]
    assert same(vae.model_.state_dict(), last.best)
    assert last.best_judged == max(s.best_judged for s in states(VAE(**SMALL)))


def test_training_validation_and_selection_report_one_elbo():
    """J1 - J2 = ELBO in every line of the log, in units of the data, for every kind of row."""
    for s in states(VAE(**SMALL)):
        for prefix in ("", "validation_"):
            r = {k: s.record[prefix + k] for k in ("elbo", "reconstruction", "kl")}
            assert r["elbo"] == pytest.approx(r["reconstruction"] - r["kl"], abs=1e-9)
        assert s.best_judged >= s.record["validation_elbo"]


def test_units_of_the_data_change_the_density_by_their_jacobian():
    """x in thousandths: every log-density falls by D log 1000, nothing else moves."""
    small, large = (states(VAE(**SMALL, preprocess="standardize"), x=x)[-1].record for x in (X, 1000 * X))
    assert small["validation_elbo"] - large["validation_elbo"] == pytest.approx(6 * np.log(1000), abs=1e-3)


@pytest.mark.parametrize("term", ["reconstruction", "KL"])
def test_a_bound_that_is_not_finite_names_its_term_and_goes_back_once(monkeypatch, term):
    """A poisoned batch in epoch 3: the run goes back to epoch 2, takes smaller steps, and finishes."""
    poison = Poison(monkeypatch, term, times=1)
    found = states(VAE(**SMALL))
    assert poison.spent
    assert [s.epoch for s in found] == list(range(1, 9))
    note = found[2].record["note"]
    assert f"the {term} term is not finite at epoch 3, step 2" in note
    assert "back to epoch 2" in note
    assert found[2].learning_rate == pytest.approx(found[1].learning_rate / 10)
    assert all(torch.isfinite(t).all() for t in found[-1].best.values())
    assert "note" not in found[3].record


def test_a_second_time_it_stops_with_the_run_intact(monkeypatch):
    Poison(monkeypatch, "KL", times=2)
    seen = []
    vae = VAE(**SMALL)
    plan = vae.plan(as_dataset(X, "x"))
    expected = r"KL term is not finite at epoch 3, step 2.*best weights are those of epoch 2"
    with pytest.raises(TrainingError, match=expected):
        seen.extend(_kept(vae.train(plan), seen))
    assert [s.epoch for s in seen] == [1, 2]
    assert all(torch.isfinite(t).all() for t in seen[-1].weights.values())


def test_a_run_that_has_diverged_goes_back_to_its_best_weights_once():
    """Weights twenty times as large after epoch 4: finite, but worse than the first epoch in every way."""
    vae = VAE(**SMALL)
    plan = vae.plan(as_dataset(X, "x"))
    found: list[State] = []
    for state in vae.train(plan):
        found.append(state)
        if state.epoch == 4:
            with torch.no_grad():
                for p in plan.model.parameters():
                    p.mul_(20)
    assert [s.epoch for s in found] == list(range(1, 9))
    note = found[4].record["note"]
    assert re.search(
        rf"epoch 5 fell below the first one, to -\S+ nats .*; back to epoch {found[3].best_epoch} with", note
    )
    assert found[4].learning_rate == pytest.approx(found[3].learning_rate / 10)
    assert found[4].best_judged >= found[3].best_judged
    assert found[4].record["elbo"] > found[0].record["elbo"]


def test_overfitting_and_a_start_at_the_optimum_are_no_divergence():
    x = RNG.normal(size=(40, 6))
    vae = VAE(**{**SMALL, "max_epochs": 300, "validation": 0.5, "hidden": (200,), "patience": None, "batch_size": 20})
    lines = [s.record for s in states(vae, x=x)]
    assert lines[-1]["validation_elbo"] < lines[0]["validation_elbo"], "it should have overfitted"
    assert not any("note" in line for line in lines)
    # With next to no weight on the KL the ELBO falls while J1 - 0.01 J2 rises.
    how = {"objective": "beta", "beta": 0.01, "validation": 0.3, "learning_rate": 3e-3}
    vae = VAE(8, hidden=(128,), batch_size=128, max_epochs=500, patience=None, **how)
    lines = [s.record for s in states(vae, x=np.random.default_rng(0).normal(size=(300, 20)))]
    assert lines[-1]["elbo"] < lines[0]["elbo"] - 5
    assert lines[-1]["validation_objective"] < lines[0]["validation_objective"] - 2
    assert not any("note" in line for line in lines)
    vae = VAE(**{**SMALL, "max_epochs": 60}).fit(X)
    vae.set_params(warm_start=True, max_epochs=30, learning_rate=1e-2)
    assert not any("note" in s.record for s in vae.train(vae.plan(as_dataset(X, "x"))))


def test_a_fit_that_was_broken_off_says_how_far_it_came(monkeypatch):
    """Interrupted or failed in epoch 3, the estimator has the best weights of two epochs, and says two."""
    vae = VAE(**SMALL)
    running = vae.train(vae.plan(as_dataset(X, "x")))
    last = [next(running), next(running)][-1]
    running.close()
    assert (vae.n_epochs_, vae.description_["epochs"]) == (2, 2)
    assert same(vae.model_.state_dict(), last.best)
    Poison(monkeypatch, "KL", times=2)
    failed = VAE(**SMALL)
    with pytest.raises(TrainingError):
        failed.fit(X)
    assert failed.n_epochs_ == 2
    assert same(failed.model_.state_dict(), last.best)


def _kept(states, seen: list[State]) -> list[State]:
    """Collect what a generator yields before it raises."""
    for state in states:
        seen.append(state)
    return []


class Poison:
    """Turns one term of one batch into NaN: epoch 3, step 2, for the first `times` visits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, term: str, times: int):
        from minamo.model import LatentVariableModel

        right, self.spent, steps = LatentVariableModel.draw, 0, 5
        self.calls = 0

        def draw(model, batch, k=1, **how):
            made = right(model, batch, k, **how)
            if not torch.is_grad_enabled():
                return made
            self.calls += 1
            if self.calls == 2 * steps + 2 + self.spent * steps and self.spent < times:
                self.spent += 1
                nan = torch.tensor(float("nan"))
                if term == "reconstruction":
                    return replace(made, log_px_z=made.log_px_z * nan)
                q = made.q.expand(made.q.batch_shape)
                q.base_dist.loc = q.base_dist.loc * nan  # type: ignore[attr-defined]
                return replace(made, q=q)
            return made

        monkeypatch.setattr(LatentVariableModel, "draw", draw)


def test_extreme_values_do_not_overflow_the_encoder():
    """log sigma^2 is bounded: inputs of any size a net can pass on give a finite, positive sigma."""
    vae = VAE(**SMALL)
    plan = vae.plan(as_dataset(X, "x"))
    batch = next(iter(plan.rows.batches(4)))
    for factor in (1e10, -1e20, 1e30):
        q = plan.model.posterior(batch._replace(x=torch.full_like(batch.x, factor)), lambda z: z)
        finite = torch.isfinite(q.stddev) & (q.stddev > 0)
        assert finite.all()


def test_a_linear_vae_converges_to_exact_ppca():
    """Three latents of six columns: the ELBO within 0.05 nats of the closed form, sigma^2 within 1 %."""
    vae = VAE(3, net="linear", likelihood="normal", validation=0, preprocess="none").fit(X)
    log_p, var, _ = ppca(torch.from_numpy(X), 3)
    found = vae.evidence(X)
    assert found.elbo.value == pytest.approx(log_p, abs=0.05)
    assert found.var is not None
    assert found.var.value == pytest.approx(var, rel=0.02)
    assert vae.stopped_ == "converged"
    assert found.iwae.value <= log_p + 0.01
