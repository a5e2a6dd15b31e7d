"""Every part computes where its tensors are, and waits for no number: on a device without memory.

Fake tensors have a shape, a type and a device, but no numbers: an operation between two devices fails on any machine,
and so does one that waits for a number. torch has to be told of such a device before autograd first runs: so these
tests have a process of their own, see `test_device.py`. They are blind to what torch asks a device inside one
operation: whether a matrix was singular.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from minamo.data import Rows
from minamo.evidence import evaluate
from minamo.model import LatentVariableModel
from minamo.plan import Plan
from minamo.training.adam import Adam
from minamo.training.compiled import CompiledStep
from minamo.training.loop import _batches
from minamo.training.step import EagerStep
from minamo.words import objective
from tests.cases.in_use import PARTS, planned

OF_TORCH = "torch's StudentT sends a number to the device: such a step is not recorded, and goes on one by one"


@pytest.fixture(scope="module")
def device() -> torch.device:
    """One that torch believes in."""
    _setup_privateuseone_for_python_backend("fake")
    return torch.device("fake", 0)


@pytest.fixture
def mode(device: torch.device) -> Iterator[FakeTensorMode]:
    """Tensors have no numbers meanwhile; those that have are taken as if they had none."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


def imagine(plan: Plan, device: torch.device, mode: FakeTensorMode) -> tuple[LatentVariableModel, Rows]:
    """Model and rows on a device that has no memory."""

    def imagined(tensor: torch.Tensor) -> torch.Tensor:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)

    for module in plan.model.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = nn.Parameter(imagined(p), requires_grad=p.requires_grad)
        for name, b in module._buffers.items():
            if b is not None:
                module._buffers[name] = imagined(b)
    rows, prepare = copy.copy(plan.rows), plan.rows.prepare
    rows.x, rows.index = mode.from_tensor(rows.x), mode.from_tensor(rows.index)
    rows.numbers = None if rows.numbers is None else mode.from_tensor(rows.numbers)
    center, spread = (None if t is None else mode.from_tensor(t) for t in (prepare.center, prepare.spread))
    rows.prepare = replace(prepare, center=center, spread=spread)
    return plan.model, rows.on(device)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.xfail(reason=OF_TORCH, strict=True)) if "student" in n else n for n in PARTS],
)
def test_every_part_steps_where_its_tensors_are_and_waits_for_nothing(
    name: str, device: torch.device, mode: FakeTensorMode
):
    with _disable_current_modes():
        vae, plan = planned(PARTS[name])
        rates, weights = torch.ones(3, dtype=torch.float64), torch.ones(3)
    model, rows = imagine(plan, device, mode)
    model.train()
    maximized, _ = objective(vae.objective, vae.get_params())
    adam = Adam(model)
    step = EagerStep(model, rows, adam, maximized)
    step.begin(rates, weights)
    for places, noise in _batches(len(rows), 50, vae.draws, model.prior.latent_dim, device):
        for found in step(places, noise):
            assert found.shape == (len(places),)
            assert found.device == device
    step.end()


def test_what_is_compiled_and_recorded_stays_on_the_card_and_waits_for_nothing(
    device: torch.device, mode: FakeTensorMode
):
    with _disable_current_modes():
        vae, plan = planned(PARTS["binarized"], prior="vamp", components=5)
    model, rows = imagine(plan, device, mode)
    model.train()
    step = CompiledStep.__new__(CompiledStep)
    adam = Adam(model)
    step.model, step.rows, step.adam, step.objective = model, rows, adam, objective("elbo", vae.get_params())[0]
    step.shadowed, step.shadows = [], []
    step.learned_names = [name for name, p in model.named_parameters() if p.requires_grad]
    step.rest_names = list(step._rest())
    drawn, _ = rows.drawn(torch.arange(50, device=device))
    numbers = [torch.empty((), device=device) for _ in range(3)]
    found = step._step(*step._inputs(), drawn, torch.empty(1, 50, 2, device=device), *numbers)
    assert [f.shape for f in found] == [(50,), (50,)]
    assert all(f.device == device for f in found)


@pytest.mark.parametrize("name", [name for name in PARTS if "student" not in name and "per-datum" not in name])
def test_every_part_is_judged_where_its_tensors_are(name: str, device: torch.device, mode: FakeTensorMode):
    """Results go to the CPU as they come. A per-datum posterior has to look at how far it has come with new rows."""
    with _disable_current_modes():
        _, plan = planned(PARTS[name], preprocess="none")
    model, rows = imagine(plan, device, mode)
    rows.numbers = None
    found = evaluate(model.eval(), rows, 3)
    assert found.iwae.shape == (len(rows),)
    assert found.iwae.device.type == "cpu"
