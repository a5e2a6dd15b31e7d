"""The main job on MNIST and Fashion-MNIST, minutes long: `make slow` with MINAMO_DATA."""

import json
import os
from pathlib import Path

import pytest

from minamo.cli.main import run

FOLDER = Path(os.environ.get("MINAMO_DATA", ""))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (FOLDER / "mnist.npz").is_file(), reason="needs mnist.npz in the folder MINAMO_DATA"),
]


def measured(capsys, path: Path, *words: str) -> dict:
    capsys.readouterr()
    assert run(["evidence", str(path), *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mnist") / "r"
    assert run(["fit", "mnist", "--binarize", "dynamic", "-o", str(path)]) == 0
    return path


def test_dynamic_mnist(dynamic, capsys):
    """-ELBO at most 92 nats on the test set, and above the entropy that binarization adds (45.5)."""
    elbo = measured(capsys, dynamic, "mnist", "--split", "test")["elbo"]
    assert (elbo["n"], elbo["unit"]) == (10_000, "nats/datum")
    assert -92 <= elbo["value"] < -45.53


def test_the_ladder_on_a_decoder_held_fixed(dynamic, capsys):
    """Each rung above the last; correlated and refined per datum, q is within 0.3 nats of log p, 0.05 of its best."""
    words = ("mnist", "--split", "test", "--rows", "500", "--gaps")
    rungs = measured(capsys, dynamic, *words)["gaps"]["rungs"]
    names = [(r["posterior"], r["family"]) for r in rungs]
    assert names[:2] == [("amortized", "diagonal"), ("semi-amortized", "diagonal")]
    assert names[2:] == [("per-datum", "diagonal"), ("per-datum", "full-covariance")]
    elbos = [r["elbo"]["value"] for r in rungs]
    assert elbos == sorted(elbos)
    assert rungs[3]["inference_gap"]["value"] < 0.3
    assert rungs[3]["left"]["value"] < 0.05


def test_per_datum_handles_all_rows(tmp_path, capsys):
    """54,000 rows with a q each, no encoder: an epoch, and unseen rows within reach of it."""
    path = tmp_path / "r"
    words = ["fit", "mnist", "--binarize", "fixed", "--posterior", "per-datum", "--max-epochs", "3"]
    assert run([*words, "-o", str(path)]) == 0
    found = measured(capsys, path, "--rows", "200")
    assert found["elbo"]["value"] > -125
    assert found["steps"]["value"] > 0


def test_a_shared_scale_beats_scale_one_on_fashion(tmp_path, capsys):
    """Ten epochs of each are enough to see more than 500 nats."""
    found = []
    for scale in ("shared", "1"):
        path = tmp_path / scale
        words = ["fit", "fashion-mnist", "--scale", scale, "--max-epochs", "10", "-o", str(path)]
        assert run(words) == 0
        found.append(measured(capsys, path, "fashion-mnist", "--split", "test")["iwae"]["value"])
    assert found[0] > found[1] + 500
