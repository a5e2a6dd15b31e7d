"""minamo fit --tracker: live, past a kill, and never in the way of the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from minamo.cli.main import run
from minamo.cli.tracking import Tracking
from minamo.run import TENSORBOARD, Run
from minamo.trackers import Mlflow, TensorBoard
from tests.trackers.reading import mlflow_curves, tensorboard_curves
from tests.trackers.test_trackers import curves, in_float32

OPTIONS = ["--latent", "2", "--hidden", "16", "--max-epochs", "6", "--seed", "3"]
BOTH = ["--tracker", "tensorboard", "--tracker", "mlflow"]
DRIVER = """
import os, signal, sys
import minamo.cli.fit as fit, minamo.run, minamo.trackers
fit.SAVE_EVERY = 0.0
moment = sys.argv.pop(1)

def killing(owner, name, when):
    right, calls = getattr(owner, name), [0]
    def wrapped(*a, **k):
        calls[0] += 1
        if calls[0] == when:
            os.kill(os.getpid(), signal.SIGKILL)
        return right(*a, **k)
    setattr(owner, name, wrapped)

if moment == "between two trackers":
    killing(minamo.trackers.Mlflow, "follow", 5)
elif moment == "between the log and the checkpoint":
    killing(minamo.run.Run, "save", 5)
from minamo.cli.main import main
main(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.chdir(tmp_path)


def fit(moment: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRIVER, moment, "fit", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("moment", ["between two trackers", "between the log and the checkpoint"])
def test_kill_9_leaves_no_gap_and_nothing_twice(moment, tmp_path):
    path = tmp_path / "run"
    killed = fit(moment, "digits", "-o", str(path), *OPTIONS, *BOTH)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    seen = {"between two trackers": (4, 3), "between the log and the checkpoint": (3, 3)}[moment]
    assert (len(tensorboard_curves(Run(path))["elbo"]), len(mlflow_curves(Run(path))["elbo"])) == seen  # live
    before = Run(path).mlflow
    resumed = fit("never", "-o", str(path), "--resume")
    assert resumed.returncode == 0, resumed.stderr
    history = Run(path).history()
    assert len(history) == 6
    assert tensorboard_curves(Run(path)) == in_float32(curves(history))
    assert mlflow_curves(Run(path)) == curves(history)
    assert Run(path).mlflow == before


def test_a_finished_run_can_be_tracked_later(tmp_path):
    path = tmp_path / "run"
    assert run(["fit", "digits", "-o", str(path), *OPTIONS]) == 0
    assert not (path / TENSORBOARD).exists()
    assert run(["fit", "-o", str(path), "--resume", "--tracker", "tensorboard"]) == 0
    assert tensorboard_curves(Run(path)) == in_float32(curves(Run(path).history()))
    assert json.loads((path / "config.json").read_text())["trackers"] == ["tensorboard"]


def test_a_tracker_that_fails_is_named_once_and_the_run_goes_on(tmp_path, capsys, monkeypatch):
    """One cannot begin (no server there), one fails under way (no space left)."""
    calls = []

    def full(self: object, lines: list[object]) -> None:
        calls.append(len(lines))
        if len(lines) == 2:
            raise OSError(28, os.strerror(28))

    path, plain = tmp_path / "run", tmp_path / "plain"
    with monkeypatch.context() as failing:
        failing.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        failing.setattr("minamo.cli.fit.SAVE_EVERY", 0.0)
        failing.setattr(TensorBoard, "follow", full)
        assert run(["fit", "digits", "-o", str(path), *OPTIONS, *BOTH]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: tracker")]
    assert len(notes) == 2
    assert notes[0].startswith("note: tracker mlflow has failed (")
    assert notes[1].startswith("note: tracker tensorboard has failed (")
    assert all(f"minamo fit -o {path} --resume sends what is missing" in note for note in notes)
    assert "No space left" in notes[1]
    assert calls[-1] == 2
    assert run(["fit", "digits", "-o", str(plain), *OPTIONS]) == 0
    assert (path / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()
    assert len(Run(path).history()) == 6
    assert run(["fit", "-o", str(path), "--resume"]) == 0
    assert tensorboard_curves(Run(path)) == in_float32(curves(Run(path).history()))
    assert mlflow_curves(Run(path)) == curves(Run(path).history())


@pytest.mark.parametrize("address", ["http://someone:secret@host:9/path", "postgresql://host/db?password=secret"])
def test_no_password_is_said_when_a_tracker_fails(address, tmp_path, capsys, monkeypatch):
    """MLflow's own messages hold the address it was given."""

    def refused(self: object) -> None:
        raise ConnectionError(f"cannot reach {address}: refused")

    monkeypatch.setattr(TensorBoard, "begin", refused)
    Tracking(Run.create(tmp_path / "run", {}), [TensorBoard]).begin()
    said = capsys.readouterr().err
    assert "tensorboard has failed (cannot reach " in said
    assert "//host" in said
    assert "secret" not in said


def test_a_run_left_behind_in_another_store_is_named(tmp_path, capsys, monkeypatch):
    config = {"params": {}, "source": "digits", "fingerprint": "9ed5", "threads": 1}
    made = Run.create(tmp_path / "run", config)
    Tracking(made, [Mlflow]).begin()
    assert "note:" not in capsys.readouterr().err
    left = made.mlflow
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    Tracking(made, [Mlflow]).begin()
    assert f"note: tracker mlflow: run {left['run_id']} of {left['tracking_uri']} is not in" in capsys.readouterr().err


def test_refusals_come_before_the_first_file(tmp_path, capsys, monkeypatch):
    words = ["fit", "digits", "-o", str(tmp_path / "run"), *OPTIONS]
    assert run([*words, "--tracker", "tensorbord"]) == 2
    assert "unknown tracker 'tensorbord': did you mean 'tensorboard'?" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert run([*words, "--tracker", "mlflow"]) == 2
    assert capsys.readouterr().err == "minamo: tracker mlflow needs mlflow: pip install 'minamo[mlflow]'\n"
    assert not list(tmp_path.iterdir())


def test_a_run_goes_on_where_a_tracker_it_began_with_is_missing(tmp_path, capsys, monkeypatch):
    """As on another machine: it is named, the others follow, and config.json still has it for the machine that can."""
    path = tmp_path / "run"
    assert run(["fit", "digits", "-o", str(path), *OPTIONS, *BOTH]) == 0
    monkeypatch.setitem(sys.modules, "mlflow", None)
    capsys.readouterr()
    assert run(["fit", "-o", str(path), "--resume", "--max-epochs", "8"]) == 0
    note = "note: tracker mlflow needs mlflow: pip install 'minamo[mlflow]'; the run goes on without it\n"
    assert capsys.readouterr().err.count(note) == 1
    assert tensorboard_curves(Run(path)) == in_float32(curves(Run(path).history()))
    assert Run(path).config["trackers"] == ["tensorboard", "mlflow"]
    assert len(Run(path).history()) == 8
    assert run(["fit", "-o", str(path), "--resume", "--max-epochs", "9", "--tracker", "mlflow"]) == 2
    assert len(Run(path).history()) == 8


def test_an_interruption_while_a_line_is_sent_leaves_that_line_once(tmp_path, monkeypatch):
    from torch.utils.tensorboard import SummaryWriter

    path, right, calls = tmp_path / "run", SummaryWriter.add_scalar, []

    def interrupted(self: SummaryWriter, *words: Any) -> None:
        right(self, *words)
        calls.append(words)
        if len(calls) == 30:
            raise KeyboardInterrupt

    monkeypatch.setattr("minamo.cli.fit.SAVE_EVERY", 0.0)
    monkeypatch.setattr(SummaryWriter, "add_scalar", interrupted)
    assert run(["fit", "digits", "-o", str(path), *OPTIONS, *BOTH]) == 130
    history = Run(path).history()
    assert 1 < len(history) < 6
    assert tensorboard_curves(Run(path)) == in_float32(curves(history))
    assert mlflow_curves(Run(path)) == curves(history)
