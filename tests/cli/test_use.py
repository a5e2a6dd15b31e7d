"""The main job, from a fit to every use of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from minamo import VAE, load
from minamo.cli.main import run


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "digits"
    assert run(["fit", "digits", "-o", str(path), "--latent", "8", "--hidden", "64", "--max-epochs", "15"]) == 0
    return path


def test_a_run_has_its_pictures(digits):
    for name in ("samples.png", "reconstructions.png", "curves.png"):
        picture = np.asarray(Image.open(digits / name).convert("L"))
        assert picture.std() > 10
    assert json.loads((digits / "evidence.json").read_text())["elbo"]["n"] == 180


def test_evidence_is_one_json_object(digits, capsys):
    capsys.readouterr()
    assert run(["evidence", str(digits), "--json", "--samples", "20"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    for name in ("elbo", "reconstruction", "kl", "iwae", "bits_per_dim", "active_units", "scale", "var"):
        assert set(found[name]) == {"value", "se", "n", "unit"}
    assert (found["split"], found["elbo"]["n"], found["samples"]) == ("validation", 180, 20)
    assert run(["evidence", str(digits), "--json", "--split", "train"]) == 0
    assert json.loads(capsys.readouterr().out)["elbo"]["n"] == 1617
    assert run(["evidence", str(digits), "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["elbo"]["n"] == 1797


def test_both_faces_say_the_same(digits, tmp_path):
    vae, data = VAE.load(digits / "model.safetensors"), load("digits")
    z, x, scores, samples = (tmp_path / name for name in ("z.npy", "x.npz", "s.csv", "draws.npz"))
    assert run(["encode", str(digits), "digits", "-o", str(z)]) == 0
    assert run(["reconstruct", str(digits), "digits", "-o", str(x)]) == 0
    assert run(["score", str(digits), "digits", "-o", str(scores)]) == 0
    assert run(["sample", str(digits), "-n", "5", "--draw", "--seed", "4", "-o", str(samples)]) == 0
    assert np.array_equal(np.load(z), vae.transform(data))
    assert np.array_equal(np.load(x)["x"], vae.reconstruct(data))
    assert np.allclose(np.loadtxt(scores, skiprows=1), vae.score_samples(data))
    assert np.array_equal(np.load(samples)["x"], vae.sample(5, draw=True, seed=4))


def test_pictures_have_the_size_of_their_grid(digits, tmp_path, capsys):
    grid, pairs = tmp_path / "grid.png", tmp_path / "pairs.png"
    assert run(["sample", str(digits), "-n", "64", "-o", str(grid)]) == 0
    assert "means of p(x|z)" in capsys.readouterr().out
    assert Image.open(grid).size == (8 * 58 + 2, 8 * 58 + 2)
    assert run(["reconstruct", str(digits), "digits", "-n", "10", "-o", str(pairs)]) == 0
    assert Image.open(pairs).size == (8 * 58 + 2, 4 * 58 + 2)


def test_what_is_at_hand(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MINAMO_DATA", str(tmp_path))
    assert run(["data"]) == 0
    out = capsys.readouterr().out
    assert "digits" in out
    assert "fashion-mnist" in out
    assert str(tmp_path) in out
    assert run(["data", "digits"]) == 0
    assert "1797 rows of 8 x 8" in capsys.readouterr().out


def test_what_auto_chose_is_printed(tmp_path, capsys):
    np.save(tmp_path / "b.npy", (np.random.default_rng(0).random((50, 6)) > 0.5).astype(np.uint8))
    assert run(["fit", str(tmp_path / "b.npy"), "-o", str(tmp_path / "r"), "--max-epochs", "1", "--latent", "2"]) == 0
    assert "likelihood bernoulli (only 0 and 1 occur in the data)" in capsys.readouterr().err


def test_a_hopeless_scale_is_said_before_training_and_comes_true(tmp_path, capsys):
    """digits under N(xhat, I): the largest eigenvalue is 0.699 < 1; exact PPCA says -61.159 and no active unit."""
    path = tmp_path / "r"
    words = ["fit", "digits", "--net", "linear", "--likelihood", "normal", "--scale", "1", "--latent", "16"]
    assert run([*words, "--validation", "0", "-o", str(path)]) == 0
    err = capsys.readouterr().err
    assert err.index("no latent can survive") < err.index("epoch")
    assert "0.699" in err
    assert run(["evidence", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["active_units"]["value"] == 0
    assert found["elbo"]["value"] == pytest.approx(-61.159, abs=0.02)


@pytest.mark.parametrize("how", ["fixed", "dynamic"])
def test_fit_and_evidence_see_the_same_draws(how, tmp_path, capsys):
    """What fit measured on the held-out rows is what `minamo evidence` measures on them later."""
    path = tmp_path / "r"
    words = ["fit", "digits", "--binarize", how, "--latent", "2", "--hidden", "8", "--max-epochs", "2"]
    assert run([*words, "-o", str(path)]) == 0
    capsys.readouterr()
    assert run(["evidence", str(path), "--json"]) == 0
    later, first = json.loads(capsys.readouterr().out), json.loads((path / "evidence.json").read_text())
    assert later["elbo"] == first["elbo"]
    vae, data = VAE.load(path / "model.safetensors"), load("digits")
    some = np.array([3, 700, 1500])
    assert np.array_equal(vae.seen(vae.rows(data, some)), vae.seen(data)[some])


def test_binarization_is_part_of_the_record(tmp_path, capsys):
    path = tmp_path / "r"
    words = ["fit", "digits", "--binarize", "fixed", "--latent", "2", "--hidden", "8", "--max-epochs", "2"]
    assert run([*words, "-o", str(path)]) == 0
    assert json.loads((path / "config.json").read_text())["prepare"]["binarize"] == "fixed"
    capsys.readouterr()
    values = []
    for _ in range(2):
        assert run(["evidence", str(path), "digits", "--json"]) == 0
        values.append(json.loads(capsys.readouterr().out)["elbo"]["value"])
    assert values[0] == values[1]


@pytest.mark.slow
def test_shared_scale_reaches_exact_ppca(tmp_path, capsys):
    """Within 0.05 nats of 23.929, sigma^2 within 1 % of 0.01472."""
    path = tmp_path / "r"
    words = "fit digits --net linear --likelihood normal --scale shared --latent 16 --validation 0"
    assert run([*words.split(), "-o", str(path)]) == 0
    capsys.readouterr()
    assert run(["evidence", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["elbo"]["value"] == pytest.approx(23.929, abs=0.05)
    assert found["scale"]["value"] ** 2 == pytest.approx(0.01472, rel=0.01)
