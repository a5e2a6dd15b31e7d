"""The ladder of inference on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch

from minamo import VAE
from minamo.cli.main import run
from tests.cli.test_bad_input import refused

QUICK = ["--latent", "2", "--hidden", "8", "--max-epochs", "3", "--scale", "shared"]
RUNGS = [
    ["--posterior", "amortized", "--family", "full-covariance"],
    ["--posterior", "amortized", "--family", "flow"],
    ["--posterior", "semi-amortized", "--posterior-steps", "2"],
    ["--posterior", "per-datum"],
    ["--posterior", "exact", "--net", "linear"],
]


@pytest.fixture(scope="module")
def x(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("ladder") / "x.npy"
    np.save(path, rng.normal(size=(60, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(60, 5)))
    return path


@pytest.mark.parametrize("words", RUNGS, ids=lambda words: " ".join(words[1::2]))
def test_every_rung_fits_and_is_used(x, words, tmp_path, capsys):
    path = tmp_path / "r"
    assert run(["fit", str(x), "-o", str(path), *QUICK, *words]) == 0
    assert f"posterior {words[1]}" in capsys.readouterr().err
    assert run(["evidence", str(path), "--split", "train", "--samples", "20", "--gaps", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)  # how far it is goes to stderr
    rungs = found["gaps"]["rungs"]
    assert rungs[0]["posterior"].startswith(words[1])
    assert rungs[-1] == {**rungs[-1], "posterior": "per-datum", "family": "full-covariance"}
    for rung in rungs:
        assert set(rung["elbo"]) == set(rung["time"]) == {"value", "se", "n", "unit"}
        assert rung["elbo"]["n"] == 54
    assert set(found["gaps"]["log_p"]) == {"value", "se", "n", "unit", "by"}
    z = tmp_path / "z.npy"
    assert run(["encode", str(path), str(x), "-o", str(z)]) == 0
    assert np.load(z).shape == (60, 2)


def test_the_table_of_rungs_is_printed(x, tmp_path, capsys):
    path = tmp_path / "r"
    assert run(["fit", str(x), "-o", str(path), *QUICK]) == 0
    capsys.readouterr()
    assert run(["evidence", str(path), "--gaps", "--rows", "4"]) == 0
    out = capsys.readouterr().out
    for text in ("amortized", "semi-amortized", "per-datum", "full-covariance", "+ amortization", "log p", "4 data"):
        assert text in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--posterior", "per_datum"], "did you mean 'per-datum'"),
        (["--posterior", "exakt"], "did you mean 'exact'"),
        (["--family", "ful-covariance"], "did you mean 'full-covariance'"),
        (["--posterior", "exact"], "needs likelihood normal and net linear"),
        (["--posterior", "exact", "--net", "linear", "--family", "flow"], "family flow has no meaning"),
        (["--posterior-steps", "3"], "belongs to posterior semi-amortized or per-datum"),
        (["--posterior", "per-datum", "--posterior-steps", "0"], "at least 1, got 0"),
    ],
)
def test_words_that_make_no_sense_are_refused(x, tmp_path, capsys, words, expected):
    refused(capsys, ["fit", x, "-o", tmp_path / "r", *QUICK, *words], expected, folder=tmp_path)


def test_a_model_file_from_before_there_were_posteriors_still_loads(x, tmp_path):
    """Its description names neither posterior nor forecast; it was fitted with what are now the defaults."""
    path = tmp_path / "r"
    assert run(["fit", str(x), "-o", str(path), *QUICK]) == 0
    with safetensors.safe_open(path / "model.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["minamo"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("posterior", "family", "posterior_steps"):
        del header["params"][name]
    del header["forecast"]
    safetensors.torch.save_file(tensors, tmp_path / "old.safetensors", {"minamo": json.dumps(header)})
    old, new = VAE.load(tmp_path / "old.safetensors"), VAE.load(path / "model.safetensors")
    data = np.load(x)
    assert np.array_equal(old.transform(data), new.transform(data))
    assert old.evidence(data, 5).elbo == new.evidence(data, 5).elbo
