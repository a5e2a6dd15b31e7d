"""A tracker holds what the log holds: the same numbers at the same epochs, none twice, whenever it began."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minamo.errors import ConfigError
from minamo.run import CONFIG, REPORT, SAMPLES, TENSORBOARD, Run
from minamo.trackers import Mlflow, TensorBoard, Tracker
from minamo.words import TRACKERS
from tests.trackers.reading import mlflow_client, mlflow_curves, tensorboard, tensorboard_curves

CONFIGURATION = {
    "params": {"latent_dim": None, "hidden": [16, 8], "learning_rate": 1e-3, "likelihood": "auto", "max_epochs": 9},
    "latent_dim": 2,
    "likelihood": "normal",
    "source": "digits",
    "fingerprint": "9ed5",
    "threads": 1,
    "notes": ["data digits: 1797 rows", "likelihood normal (numbers from 0 to 1)"],
}
EVIDENCE = {
    "elbo": {"value": -8.25, "se": 0.5, "n": 180, "unit": "nats/datum"},
    "scale": {"value": 0.125, "se": None, "n": 180, "unit": "data"},
    "bounds": {"iwae-100": {"value": -7.0, "se": 0.5, "n": 180, "unit": "nats/datum"}},
    "kl_per_latent": [0.5, 0.25],
    "samples": 100,
    "epochs": 7,
}


def line(epoch: int) -> dict[str, Any]:
    found = {"epoch": epoch, "elbo": -10 / epoch, "kl": 0.1 * epoch, "waited": 0, "seconds": 2.0 * epoch}
    return {**found, "note": "the step runs eagerly"} if epoch == 1 else {**found, "scale": 0.3}


def curves(lines: list[dict[str, Any]]) -> dict[str, dict[int, float]]:
    """What a tracker must hold: name -> epoch -> value."""
    names = {k for one in lines for k in one} - {"epoch", "note"}
    return {name: {one["epoch"]: float(one[name]) for one in lines if name in one} for name in names}


def in_float32(wanted: dict[str, dict[int, float]]) -> dict[str, dict[int, float]]:
    return {name: {e: float(np.float32(v)) for e, v in found.items()} for name, found in wanted.items()}


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.chdir(tmp_path)
    return Run.create(tmp_path / "run", CONFIGURATION)


def follow(tracker: Any, run: Run, epochs: range) -> None:
    for epoch in epochs:
        run.log(line(epoch))
        tracker.follow(run.history())


READ = {"tensorboard": tensorboard_curves, "mlflow": mlflow_curves}


@pytest.mark.parametrize("word", TRACKERS)
def test_every_tracker_holds_the_log_and_none_of_it_twice(word, run):
    """Begun at the start, then again as after a kill: lines that it had not seen are there, the others once."""
    tracker = TRACKERS[word](run)
    tracker.begin()
    follow(tracker, run, range(1, 4))
    run.log(line(4))
    again = TRACKERS[word](run)
    again.begin()
    follow(again, run, range(5, 7))
    again.end("stopped")
    late = TRACKERS[word](run)
    late.begin()
    late.follow(run.history())
    late.end("finished")
    wanted = curves(run.history())
    assert set(wanted) == {"elbo", "kl", "waited", "seconds", "scale"}
    assert READ[word](run) == (in_float32(wanted) if word == "tensorboard" else wanted)


def test_tensorboard_forgets_what_the_log_has_taken_back(run):
    tracker = TensorBoard(run)
    tracker.begin()
    follow(tracker, run, range(1, 6))
    run.rewind(2)
    again = TensorBoard(run)
    again.begin()
    again.follow(run.history())
    again.end("stopped")
    assert tensorboard_curves(run) == in_float32(curves([line(1), line(2)]))


def test_mlflow_takes_half_of_a_message_as_half(run):
    """A store that has only some numbers of an epoch is given the others."""
    tracker = Mlflow(run)
    tracker.begin()
    run.log(line(1))
    mlflow_client().log_metric(run.mlflow["run_id"], "kl", 0.1, step=1)
    tracker = Mlflow(run)
    tracker.begin()
    tracker.follow(run.history())
    assert mlflow_curves(run) == curves([line(1)])


def finished(run: Run) -> None:
    """What fit writes at its end, in small."""
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(run.place(SAMPLES))
    run.place(REPORT).write_text("<p>a report</p>")


def tracked_twice(tracker: Tracker, run: Run) -> None:
    """A run tracked to its end, and then once more from the beginning."""
    for _ in range(2):
        tracker.begin()
        tracker.follow(run.history())
        follow(tracker, run, range(len(run.history()) + 1, 8))
        finished(run)
        tracker.finish(EVIDENCE)
        tracker.end("finished")


def test_what_tensorboard_shows_of_a_finished_run(run):
    tracked_twice(TensorBoard(run), run)
    found = tensorboard(run)
    assert [(e.step, e.value) for e in found.Scalars("evidence/elbo")] == [(7, -8.25)]
    assert [(e.step, e.value) for e in found.Scalars("evidence/elbo_se")] == [(7, 0.5)]
    assert "evidence/scale_se" not in found.Tags()["scalars"]
    (picture,) = found.Images("samples")
    assert (picture.step, picture.width, picture.height) == (7, 8, 8)
    texts = {
        tag: found.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode()
        for tag in ("parameters", "notes")
    }
    assert "| latent_dim | 2 |" in texts["parameters"]
    assert "| hidden | 16,8 |" in texts["parameters"]
    assert "| fingerprint | 9ed5 |" in texts["parameters"]
    assert "likelihood normal (numbers from 0 to 1)" in texts["notes"]
    first, later = (e.wall_time for e in found.Scalars("elbo")[:2])
    assert later - first == pytest.approx(2.0, abs=1e-3)  # seconds of training lie between two epochs


def test_what_mlflow_shows_of_a_finished_run(run):
    tracked_twice(Mlflow(run), run)
    client = mlflow_client()
    found = client.get_run(run.mlflow["run_id"])
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "run"
    assert client.get_experiment(found.info.experiment_id).name == "minamo"
    assert found.data.params == {
        "latent_dim": "2", "hidden": "16,8", "learning_rate": "0.001", "likelihood": "normal", "max_epochs": "9",
        "source": "digits", "fingerprint": "9ed5", "threads": "1",
    }  # fmt: skip
    assert "likelihood normal (numbers from 0 to 1)" in found.data.tags["mlflow.note.content"]
    assert found.data.tags["minamo.run"] == str(run.path.absolute())
    history = client.get_metric_history(run.mlflow["run_id"], "evidence/elbo")
    assert [(m.step, m.value) for m in history] == [(7, -8.25)]
    assert {one.path for one in client.list_artifacts(run.mlflow["run_id"])} == {CONFIG, REPORT, SAMPLES}


@pytest.mark.parametrize(("how", "status"), [("stopped", "KILLED"), ("failed", "FAILED")])
def test_mlflow_says_how_a_run_ended_and_that_it_goes_on(how, status, run):
    for _ in range(2):
        tracker = Mlflow(run)
        tracker.begin()
        assert mlflow_client().get_run(run.mlflow["run_id"]).info.status == "RUNNING"
        tracker.end(how)
        assert mlflow_client().get_run(run.mlflow["run_id"]).info.status == status
    assert len(mlflow_client().search_runs(["1"])) == 1


def test_mlflow_goes_on_where_the_run_is_kept(run, tmp_path, monkeypatch):
    """Without MLFLOW_TRACKING_URI: the default store, once, from whichever folder the run is taken up."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    tracker = Mlflow(run)
    tracker.begin()
    follow(tracker, run, range(1, 3))
    assert run.mlflow["tracking_uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    before = run.mlflow
    tracker = Mlflow(run)
    tracker.begin()
    follow(tracker, run, range(3, 5))
    assert run.mlflow == before
    assert not list((tmp_path / "elsewhere").iterdir())
    client = mlflow_client(run.mlflow["tracking_uri"])
    assert client.get_experiment_by_name("mine") is not None
    assert mlflow_curves(run) == curves(run.history())


@pytest.mark.parametrize("address", ["sqlite:///my.db", "my_runs", "file:my_runs"])
def test_a_relative_address_is_kept_from_the_root(address, run, tmp_path, monkeypatch):
    """A run that is taken up in another folder goes on in the store that it began in."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    tracker = Mlflow(run)
    assert tracker.begin() is None
    follow(tracker, run, range(1, 3))
    before = run.mlflow
    assert f"{tmp_path}/my" in before["tracking_uri"]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tracker = Mlflow(run)
    assert tracker.begin() is None
    follow(tracker, run, range(3, 5))
    assert run.mlflow == before
    assert not list((tmp_path / "elsewhere").iterdir())
    assert mlflow_curves(run) == curves(run.history())


def test_mlflow_begins_anew_in_another_store(run, tmp_path, monkeypatch):
    """And says which run of which store it has left: mlflow.json names the new one from now on."""
    tracker = Mlflow(run)
    assert tracker.begin() is None
    follow(tracker, run, range(1, 3))
    left = run.mlflow
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    tracker = Mlflow(run)
    said = tracker.begin()
    assert said is not None
    assert f"run {left['run_id']} of {left['tracking_uri']} is not in {run.mlflow['tracking_uri']}" in said
    assert run.mlflow["run_id"] in said
    assert tracker.begin() is None
    tracker.follow(run.history())
    assert run.mlflow["tracking_uri"].endswith("other.db")
    assert mlflow_curves(run) == curves(run.history())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://someone:secret@tracking.example/path", "https://tracking.example/path"),
        ("postgresql://tracking.example/db?user=someone&password=secret", "postgresql://tracking.example/db"),
        ("postgresql://someone:secret@tracking.example/db?sslpassword=secret", "postgresql://tracking.example/db"),
        ("sqlite:////here/store.db", "sqlite:////here/store.db"),
    ],
)
def test_no_password_is_kept_in_the_run(given, kept, run):
    run.record_mlflow(given, "abc")
    assert run.mlflow == {"tracking_uri": kept, "run_id": "abc"}


def test_the_run_directory_is_the_truth(run):
    """Trackers write beside the files of the run, never into them."""
    run.log(line(1))
    finished(run)
    before = {p: p.read_bytes() for p in run.path.iterdir()}
    for word in TRACKERS:
        tracker = TRACKERS[word](run)
        tracker.begin()
        tracker.follow(run.history())
        tracker.finish(EVIDENCE)
        tracker.end("finished")
    assert {p: p.read_bytes() for p in before} == before
    assert {p.name for p in run.path.iterdir()} - {p.name for p in before} == {TENSORBOARD, "mlflow.json"}
    assert set(json.loads(Path(run.path / "mlflow.json").read_text())) == {"tracking_uri", "run_id"}


@pytest.mark.parametrize("word", TRACKERS)
def test_a_missing_extra_is_named(word, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, TRACKERS[word].needs[0], None)
    with pytest.raises(ConfigError, match=rf"tracker {word} needs {word}: pip install 'minamo\[{word}\]'"):
        TRACKERS[word].require()
