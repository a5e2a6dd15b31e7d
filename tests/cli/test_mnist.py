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


def test_dynamic_mnist(tmp_path, capsys):
    """-ELBO at most 92 nats on the test set, and above the entropy that binarization adds (45.5)."""
    path = tmp_path / "r"
    assert run(["fit", "mnist", "--binarize", "dynamic", "-o", str(path)]) == 0
    elbo = measured(capsys, path, "mnist", "--split", "test")["elbo"]
    assert (elbo["n"], elbo["unit"]) == (10_000, "nats/datum")
    assert -92 <= elbo["value"] < -45.53


def test_a_shared_scale_beats_scale_one_on_fashion(tmp_path, capsys):
    """Ten epochs of each are enough to see more than 500 nats."""
    found = []
    for scale in ("shared", "1"):
        path = tmp_path / scale
        words = ["fit", "fashion-mnist", "--scale", scale, "--max-epochs", "10", "-o", str(path)]
        assert run(words) == 0
        found.append(measured(capsys, path, "fashion-mnist", "--split", "test")["iwae"]["value"])
    assert found[0] > found[1] + 500
