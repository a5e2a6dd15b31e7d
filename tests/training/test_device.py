"""Training and evidence on a graphics card: what needs none comes first, the rest is skipped by name where none is."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from minamo import VAE
from minamo.data import Rows
from minamo.errors import ConfigError
from minamo.model import LatentVariableModel
from minamo.plan import Plan
from minamo.training.adam import Adam
from minamo.training.compiled import CompiledStep
from minamo.training.device import computing_on
from minamo.training.loop import _batches
from minamo.training.step import EagerStep
from minamo.words import objective
from tests.cases.in_use import PARTS, planned
from tests.test_parts_in_use import SMALL, data

CUDA = torch.device("cuda", 0)
card = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a graphics card")


def test_every_part_stays_on_its_device_and_waits_for_nothing():
    laws = Path(__file__).with_name("on_a_fake_device.py")
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(laws)], capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize(("word", "said"), [("mps", "got 'mps'"), ("cuda:x", "got 'cuda:x'"), (3, "got 3")])
def test_a_device_that_nobody_knows_is_refused(word: Any, said: str):
    with pytest.raises(ConfigError, match=said):
        VAE(device=word).fit(np.zeros((9, 2)))


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="has eight cards")
def test_a_card_that_is_not_here_is_refused_and_auto_does_without():
    x = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(ConfigError, match=r"device cuda:7 is not here: torch .* sees .*; device cpu does without"):
        VAE(device="cuda:7").fit(x)
    if not torch.cuda.is_available():
        small = VAE(2, hidden=(8,), max_epochs=2, patience=None, device="auto").fit(x)
        assert str(next(small.model_.parameters()).device) == "cpu"


def test_tf32_is_refused_on_a_processor():
    with pytest.raises(ConfigError, match="precision tf32 is one of graphics cards"):
        VAE(precision="tf32").fit(np.random.default_rng(0).normal(size=(40, 3)))


def test_a_model_from_a_machine_with_a_card_is_of_use_on_one_without(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3))
    vae = VAE(2, hidden=(8,), max_epochs=2, patience=None).fit(x)
    there = copy.deepcopy(vae).set_params(device="cuda:7")
    there.description_["params"]["device"] = "cuda:7"
    there.save(tmp_path / "model")
    here = VAE.load(tmp_path / "model")
    assert here.device == "cuda:7"
    assert here.evidence(x, k=10).to_json() == vae.evidence(x, k=10).to_json()
    assert np.array_equal(here.sample(3), vae.sample(3))


WAITS = ("posterior exact", "likelihood student-t")
"""torch asks the card whether a matrix was singular, or sends it a number: such a step is not recorded."""
DRAWS = ("posterior semi-amortized", "posterior per-datum")
"""Their own draws come from the device."""


def moved(plan: Plan) -> tuple[Any, Rows]:
    return plan.model.to(CUDA), plan.rows.on(CUDA)


def some_steps(step: Any, model: LatentVariableModel, n: int, draws: int = 1) -> list[torch.Tensor]:
    """Three steps of 50 rows with noise that is drawn on the CPU; what they found, and the weights after them."""
    generator = torch.Generator().manual_seed(0)
    device = next(model.parameters()).device
    step.begin(torch.full((3,), 1e-3, dtype=torch.float64), torch.ones(3))
    found = []
    for _ in range(3):
        places = torch.randperm(n, generator=generator)[:50].to(device)
        noise = torch.randn(draws, 50, model.prior.latent_dim, generator=generator).to(device)
        found += [t.clone() for t in step(places, noise)]
    step.end()
    return [t.detach().cpu() for t in (*found, *model.parameters())]


@card
@pytest.mark.parametrize("name", [n for n in PARTS if n not in DRAWS and n != "binarized"])
def test_steps_on_the_card_are_those_on_the_processor(name: str):
    found = []
    for device in (torch.device("cpu"), CUDA):
        vae, plan = planned(PARTS[name])
        model, rows = plan.model.to(device), plan.rows.on(device)
        model.train()
        maximized, _ = objective(vae.objective, vae.get_params())
        with computing_on(device):
            found.append(some_steps(EagerStep(model, rows, Adam(model), maximized), model, len(rows), vae.draws))
    for here, there in zip(*found, strict=True):
        assert torch.allclose(here, there, rtol=1e-3, atol=1e-3 * float(here.abs().max()) + 1e-5)


@card
@pytest.mark.parametrize("name", [n for n in PARTS if n not in WAITS and n not in DRAWS and n != "binarized"])
def test_recorded_steps_are_those_one_by_one(name: str):
    found = []
    for recorded in (False, True):
        vae, plan = planned(PARTS[name])
        model, rows = moved(plan)
        model.train()
        maximized, _ = objective(vae.objective, vae.get_params())
        with computing_on(CUDA):
            adam = Adam(model)
            step = (
                CompiledStep(model, rows, adam, maximized, 50, "float32", vae.draws)
                if recorded
                else EagerStep(model, rows, adam, maximized)
            )
            found.append(some_steps(step, model, len(rows), vae.draws))
    for here, there in zip(*found, strict=True):
        assert torch.allclose(here, there, rtol=1e-3, atol=1e-3 * float(here.abs().max()) + 1e-5)


@card
@pytest.mark.parametrize("compiled", ["off", "on"])
def test_an_epoch_on_the_card_waits_for_nothing(compiled: str, monkeypatch):
    from minamo.training import loop

    def watched(*args: Any) -> Any:
        for pair in _batches(*args):
            torch.cuda.set_sync_debug_mode("error")
            yield pair
            torch.cuda.set_sync_debug_mode("default")

    vae, plan = planned(PARTS["binarized"], device="cuda", compile=compiled)
    monkeypatch.setattr(loop, "_batches", watched)
    epochs = [state.record for state in vae.train(plan)]
    assert len(epochs) == SMALL["max_epochs"]
    assert not any("note" in epoch for epoch in epochs)


@card
@pytest.mark.parametrize("compiled", ["off", "on"])
def test_a_run_on_the_card_is_the_same_again_and_resumed(compiled: str):
    def run(state: Any = None) -> list[Any]:
        vae, plan = planned(PARTS["binarized"], device="cuda", compile=compiled, max_epochs=6)
        return list(vae.train(plan, state))

    first, again = run(), run()
    middle = type(first[2]).from_parts(*first[2].to_parts())
    for other in (again[-1], run(middle)[-1]):
        assert all(torch.equal(t, other.weights[k]) for k, t in first[-1].weights.items())


@card
def test_evidence_on_the_card_is_that_on_the_processor():
    vae, plan = planned(PARTS["prior vamp"], max_epochs=5)
    for _ in vae.train(plan):
        pass
    x = data("normal")[100:200]
    here = vae.evidence(x, k=64)
    there = vae.set_params(device="cuda").evidence(x, k=64)
    assert next(vae.model_.parameters()).device.type == "cpu"
    assert abs(here.iwae.value - there.iwae.value) < 1e-4
    assert abs(here.elbo.value - there.elbo.value) < 1e-4


@card
@pytest.mark.parametrize("name", WAITS)
def test_a_step_that_has_to_wait_goes_on_one_by_one(name: str):
    """It shows before the recording, which leaves weights, streams and generators as they were."""
    found = []
    for compiled in ("on", "off"):
        vae, plan = planned(PARTS[name], device="cuda", compile=compiled, max_epochs=3)
        found.append(list(vae.train(plan)))
    assert "could not be compiled" in found[0][0].record["note"]
    assert all(torch.equal(t, found[1][-1].weights[k]) for k, t in found[0][-1].weights.items())


@card
def test_rows_that_were_never_seen_get_a_q_of_their_own_on_the_card():
    vae, plan = planned(PARTS["posterior per-datum"], device="cuda", max_epochs=2, validation=0.1)
    assert [state.epoch for state in vae.train(plan)] == [1, 2]
    assert vae.model_.posterior.steps is None
