"""Files of older formats mean what they meant; files of other models are refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from torch import Tensor, nn
from torch.nn import functional

from minamo import VAE, model_file
from minamo.cli.main import run
from minamo.data import as_dataset
from minamo.errors import RunError
from minamo.nets import conv
from minamo.run import Run
from minamo.training import State

IMAGES = np.random.default_rng(0).random((60, 7, 5))
OPTIONS = ["--latent", "2", "--batch", "16", "--compile", "off", "--learning-rate", "0.01"]


class UpOfFormat1(nn.Module):
    """As it was: torch's pixel_shuffle, which takes the output channels in the order (c, 2, 2)."""

    def __init__(self, before: int, after: int, places: int):
        super().__init__()
        self.conv = conv.Convolution(before, 4 * after, places)

    def forward(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        return functional.pixel_shuffle(self.conv(x), 2)[..., : size[0], : size[1]]


@pytest.fixture(params=["conv", "residual-conv"])
def older(request, tmp_path: Path, monkeypatch):
    """The folder of runs of 2 and of 4 epochs, by the version before, and its reconstructions by the first."""
    right = State.to_parts

    def to_parts(state: State):
        tensors, plain = right(state)
        plain["best_elbo"] = plain.pop("best_judged")
        del plain["judged"]
        return tensors, plain

    np.save(tmp_path / "x.npy", IMAGES)
    words = ["fit", str(tmp_path / "x.npy"), "--net", request.param, "--hidden", "3,4", *OPTIONS]
    with monkeypatch.context() as then:
        then.setattr(conv, "_Up", UpOfFormat1)
        then.setattr(model_file, "FORMAT", 1)
        then.setattr(model_file, "of_format_1", lambda tensors, parameters: tensors)
        then.setattr(State, "to_parts", to_parts)
        for name, epochs in (("run", "2"), ("whole", "4")):
            assert run([*words, "-o", str(tmp_path / name), "--max-epochs", epochs]) == 0
        again = VAE.load(tmp_path / "run" / "model.safetensors").reconstruct(IMAGES)
    return tmp_path, again


def test_a_convolutional_model_of_format_1_decodes_as_it_did(older):
    folder, again = older
    np.testing.assert_allclose(VAE.load(folder / "run" / "model.safetensors").reconstruct(IMAGES), again, atol=1e-9)


def gone_on(folder: Path) -> tuple[State, State]:
    """The run of 2 epochs, resumed by this version to 4, and that of the version before."""
    assert run(["fit", "-o", str(folder / "run"), "--resume", "--max-epochs", "4"]) == 0
    model = VAE.load(folder / "run" / "model.safetensors").model_
    ours, theirs = (Run(folder / name).checkpoint(model) for name in ("run", "whole"))
    assert ours is not None
    assert theirs is not None
    return ours, theirs


def test_a_convolutional_run_of_format_1_goes_on_as_it_would_have(older):
    """Weights, average, best weights and both of Adam's moments: two more epochs end where the version before did."""
    ours, theirs = gone_on(older[0])
    assert ours.epoch == theirs.epoch == 4
    assert ours.best_judged == pytest.approx(theirs.best_judged, abs=1e-4)
    for group in ("weights", "average", "best", "moments"):
        a, b = getattr(ours, group), getattr(theirs, group)
        assert a.keys() == b.keys()
        for name in a:
            torch.testing.assert_close(a[name], b[name], atol=1e-5, rtol=1e-4, msg=f"{group} {name}")
    with safetensors.safe_open(older[0] / "run" / "model.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["minamo"])["format"] == model_file.FORMAT


def test_planted_moments_left_as_they_were_are_caught(older, monkeypatch):
    right = model_file.of_format_1
    monkeypatch.setattr(model_file, "of_format_1", lambda tensors, parameters: right(tensors, ()))
    ours, theirs = gone_on(older[0])
    assert max((ours.weights[name] - theirs.weights[name]).abs().max() for name in ours.weights) > 1e-3


def test_what_does_not_fit_is_refused_with_the_reason_and_nothing_is_written(tmp_path: Path, capsys):
    np.save(tmp_path / "x.npy", IMAGES)
    for name, width in (("a", "8"), ("b", "9")):
        words = ["fit", str(tmp_path / "x.npy"), "-o", str(tmp_path / name), "--hidden", width, "--max-epochs", "1"]
        assert run([*words, *OPTIONS]) == 0
    shutil.copy(tmp_path / "a" / "checkpoint.safetensors", tmp_path / "b")
    before = {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()}
    capsys.readouterr()
    assert run(["fit", "-o", str(tmp_path / "b"), "--resume", "--max-epochs", "2"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "checkpoint.safetensors is of another model" in said[0]
    assert "body.0.bias is [8], here [9]" in said[0]
    assert {p.name: p.read_bytes() for p in (tmp_path / "b").iterdir()} == before
    tensors, header = model_file.read(tmp_path / "a" / "model.safetensors", "model")
    name = next(iter(tensors))
    model_file.write(tmp_path / "m", {k: v for k, v in tensors.items() if k != name}, header)
    with pytest.raises(RunError, match=f"Missing key.*{name}") as caught:
        VAE.load(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_a_state_of_another_model_is_not_put_into_this_one():
    small, large = (VAE(2, hidden=(h,), max_epochs=1, patience=None, compile="off") for h in (4, 5))
    states = [next(iter(v.train(v.plan(as_dataset(IMAGES, "x"))))) for v in (small, large)]
    with pytest.raises(RunError, match="of another model"):
        next(iter(small.train(small.plan(as_dataset(IMAGES, "x")), states[1])))
