"""A killed run goes on and ends with the bits of the run that was never killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minamo import VAE, words
from minamo.cli.main import run
from minamo.run import Run
from minamo.training import State
from minamo.training.judge import ELBO

OPTIONS = ["--latent", "2", "--hidden", "16", "--batch", "64", "--max-epochs", "6", "--seed", "3"]

DRIVER = """
import os, signal, sys
import minamo.cli.fit as fit, minamo.files, minamo.model, minamo.run
fit.SAVE_EVERY = 0.0
moment = sys.argv.pop(1)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def killing(owner, name, when):
    right, calls = getattr(owner, name), [0]
    def wrapped(*a, **k):
        calls[0] += 1
        if calls[0] == when:
            if name == "replace":
                open(str(a[1]) + ".seen", "w").close()
            die()
        return right(*a, **k)
    setattr(owner, name, wrapped)

if moment == "within an epoch":
    killing(minamo.model.LatentVariableModel, "draw", 17)
elif moment == "between epochs, before the log":
    killing(minamo.run.Run, "log", 3)
elif moment == "between the log and the checkpoint":
    killing(minamo.run.Run, "save", 3)
elif moment == "while a checkpoint is written":
    killing(os, "fsync", 6)
elif moment == "between checkpoint and model":
    killing(os, "replace", 7)
elif moment == "in the first epoch":
    killing(minamo.model.LatentVariableModel, "draw", 3)
elif moment == "before the first checkpoint":
    killing(minamo.run.Run, "save", 1)
from minamo.cli.main import main
main(sys.argv[1:])
"""

MOMENTS = [
    "within an epoch",
    "between epochs, before the log",
    "between the log and the checkpoint",
    "while a checkpoint is written",
    "between checkpoint and model",
    "in the first epoch",
    "before the first checkpoint",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "x.npy"
    rng = np.random.default_rng(0)
    np.save(path, rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(300, 5)))
    return path


def fit(moment: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRIVER, moment, "fit", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def never_killed(data, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "whole"
    assert fit("never", str(data), "-o", str(path), *OPTIONS).returncode == 0
    return path


def log_of(path: Path) -> list[dict[str, float]]:
    times = ("seconds", "samples_per_s")
    return [{k: v for k, v in r.items() if k not in times} for r in Run(path).history()]


def checkpoint_of(path: Path) -> State | None:
    return Run(path).checkpoint(VAE.load(path / "model.safetensors").model_)


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_9(moment, data, never_killed, tmp_path):
    path = tmp_path / "run"
    killed = fit(moment, str(data), "-o", str(path), *OPTIONS)
    assert killed.returncode == -signal.SIGKILL
    assert len(Run(path).history()) < 6
    if moment != "before the first checkpoint":
        assert run(["sample", str(path), "-o", str(tmp_path / "s.npz")]) == 0
    resumed = fit("never", str(data), "-o", str(path), "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert (path / "model.safetensors").read_bytes() == (never_killed / "model.safetensors").read_bytes()
    ours, theirs = (checkpoint_of(p) for p in (path, never_killed))
    assert ours is not None
    assert theirs is not None
    for group in ("weights", "average", "moments", "best"):
        a, b = getattr(ours, group), getattr(theirs, group)
        assert a.keys() == b.keys()
        assert all(bool((a[k] == b[k]).all()) for k in a)
    assert log_of(path) == log_of(never_killed)
    assert not list(path.glob(".*")), "a temporary file was left"


def test_ctrl_c_leaves_a_usable_run(data, tmp_path):
    path = tmp_path / "run"
    script = DRIVER.replace(
        "def die():\n    os.kill(os.getpid(), signal.SIGKILL)", "def die():\n    raise KeyboardInterrupt"
    )
    command = [sys.executable, "-c", script, "within an epoch", "fit", str(data), "-o", str(path), *OPTIONS]
    stopped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert stopped.returncode == 130
    assert "--resume goes on" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert run(["encode", str(path), str(data), "-o", str(tmp_path / "z.npy")]) == 0
    assert np.load(tmp_path / "z.npy").shape == (300, 2)


def test_a_capped_run_goes_on_with_a_larger_cap(data, never_killed, tmp_path, capsys):
    path = tmp_path / "run"
    options = [*OPTIONS[:-4], "--max-epochs", "4", "--seed", "3"]
    assert fit("never", str(data), "-o", str(path), *options).returncode == 0
    assert fit("never", "-o", str(path), "--resume", "--max-epochs", "6").returncode == 0
    assert (path / "model.safetensors").stat().st_size > 0
    ours, theirs = (checkpoint_of(p) for p in (path, never_killed))
    assert ours is not None
    assert theirs is not None
    assert all(bool((ours.weights[k] == theirs.weights[k]).all()) for k in ours.weights)


def test_resume_refuses_other_options_and_other_data(data, never_killed, tmp_path, capsys):
    assert run(["fit", str(data), "-o", str(never_killed), "--resume", "--latent", "3"]) == 2
    assert "leave out latent_dim" in capsys.readouterr().err
    other = tmp_path / "other.npy"
    np.save(other, np.load(data) + 1)
    assert run(["fit", str(other), "-o", str(never_killed), "--resume"]) == 2
    assert "not the data this run began with" in capsys.readouterr().err


def test_a_resumed_run_that_the_elbo_judges_says_so(data, tmp_path, monkeypatch):
    """Begun when the ELBO judged everything, it goes on so; begun today, its objective judges."""
    right, short = words.objective, [*OPTIONS[:-4], "--max-epochs", "2", "--compile", "off"]
    for name, ours in {"then": lambda *a: (right(*a)[0], ELBO), "today": right}.items():
        with monkeypatch.context() as begun:
            begun.setattr(words, "objective", ours)
            assert run(["fit", str(data), "-o", str(tmp_path / name), "--objective", "beta", *short]) == 0
        assert run(["fit", "-o", str(tmp_path / name), "--resume", "--max-epochs", "4"]) == 0
    for name, judges in {"then": "; the ELBO judges the epochs, as", "today": ", which judges the epochs too;"}.items():
        notes = [note for note in VAE.load(tmp_path / name / "model.safetensors").notes_ if "objective beta" in note]
        assert len(notes) == 1
        assert notes[0].startswith(f"objective beta: J1 - 4 J2{judges}")
        assert ("validation_objective" in Run(tmp_path / name).history()[-1]) == (name == "today")


def test_the_run_says_how_it_was_made(never_killed):
    config = json.loads((never_killed / "config.json").read_text())
    assert {"minamo", "torch", "command", "source", "params", "schema", "prepare", "likelihood", "fingerprint"} <= set(
        config
    )
    assert config["params"]["latent_dim"] == 2
    record = Run(never_killed).history()[-1]
    assert {"epoch", "elbo", "reconstruction", "kl", "validation_elbo", "samples_per_s", "seconds"} <= set(record)
