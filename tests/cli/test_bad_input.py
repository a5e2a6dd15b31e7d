"""Every refusal: one line on stderr, exit code 2, no traceback, nothing half written."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minamo.cli.main import run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
QUICK = ["--latent", "2", "--hidden", "8", "--max-epochs", "2"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    np.save(folder / "x.npy", X)
    (folder / "t.csv").write_text("age,height\n" + "\n".join(f"{a},{b}" for a, b in X[:, :2]))
    assert run(["fit", str(folder / "x.npy"), "-o", str(folder / "run"), *QUICK]) == 0
    assert run(["fit", str(folder / "t.csv"), "-o", str(folder / "table"), *QUICK[2:], "--latent", "1"]) == 0
    return folder


def refused(capsys, words: list[object], *expected: str, folder: Path | None = None) -> None:
    """Run a command that must be refused, and hold it to the rules above."""
    before = sorted(folder.rglob("*")) if folder else []
    capsys.readouterr()
    code = run([str(w) for w in words])
    out, err = capsys.readouterr()
    lines = err.strip().splitlines()
    assert code == 2, (code, err)
    assert out == ""
    assert len(lines) == 1, err
    assert lines[0].startswith("minamo: ")
    for text in expected:
        assert text in lines[0], lines[0]
    if folder:
        assert sorted(folder.rglob("*")) == before


def save(path: Path, x: np.ndarray) -> Path:
    np.save(path, x)
    return path


def with_cell(value: float) -> np.ndarray:
    x = X.copy()
    x[5, 2] = value
    return x


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.npy", None, ["there is no file", "none.npy"]),
        ("empty.npy", np.zeros((0, 4)), ["empty"]),
        ("nan.npy", with_cell(np.nan), ["nan", "row 5", "column 2"]),
        ("inf.npy", with_cell(np.inf), ["inf", "row 5", "column 2"]),
        ("one.npy", X[:1], ["1 sample"]),
        ("thin.npy", np.zeros((9, 0)), ["empty"]),
        ("words.csv", "a,b\n1,2\n3,x\n", ["'x'", "row 1", "'b'"]),
        ("grey.npy", np.abs(X) / 9, ["outside the support", "--binarize dynamic", "--likelihood normal"]),
    ],
)
def test_data(name, content, expected, tmp_path, capsys):
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        np.save(path, content)
    likelihood = ["--likelihood", "bernoulli"] if name == "grey.npy" else []
    refused(capsys, ["fit", path, "-o", tmp_path / "run", *QUICK, *likelihood], *expected, folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--latent", "0"], ["latent_dim must be a whole number of at least 1, got 0"]),
        (["--likelihood", "gausian"], ["unknown likelihood 'gausian'"]),
        (["--likelihood", "norml"], ["did you mean 'normal'?"]),
        (["--scale", "analitic"], ["did you mean 'analytic'?"]),
        (["--scale", "-1"], ["scale must be positive"]),
        (["--net", "lineer"], ["did you mean 'linear'?"]),
        (["--binarize", "dynamik"], ["did you mean 'dynamic'?"]),
        (["--latent", "two"], ["two"]),
        (["--latnet", "2"], ["--latnet", "--latent"]),
        (["--hidden", "a,b"], ["--hidden takes widths"]),
        (["--objective", "free_bits"], ["did you mean 'free-bits'?"]),
        (["--beta", "4"], ["beta 4 belongs to objective beta or capacity; this one is elbo"]),
        (["--objective", "capacity", "--capacity", "-1"], ["capacity must be a number of at least 0, got -1.0"]),
        (["--validation", "1000"], ["leaves no row"]),
        (["--config", "nowhere.json"], ["nowhere.json", "JSON"]),
    ],
)
def test_options(options, expected, fitted, tmp_path, capsys):
    refused(capsys, ["fit", fitted / "x.npy", "-o", tmp_path / "run", *options], *expected, folder=tmp_path)


def test_config_files(fitted, tmp_path, capsys):
    (tmp_path / "c.json").write_text('{"latent_dims": 3}')
    words = ["fit", fitted / "x.npy", "-o", tmp_path / "run", "--config", tmp_path / "c.json"]
    refused(capsys, words, "unknown parameter 'latent_dims'", "did you mean 'latent_dim'?", folder=tmp_path)
    (tmp_path / "c.json").write_text('{"latent_dim": 1, "hidden": [4], "max_epochs": 1}')
    assert run([str(w) for w in words]) == 0
    assert (
        run(
            ["fit", str(fitted / "x.npy"), "-o", str(tmp_path / "again"), "--config", str(tmp_path / "run/config.json")]
        )
        == 0
    )
    first, second = (tmp_path / name / "model.safetensors" for name in ("run", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_nothing_said(capsys):
    refused(capsys, ["fit", "digits"], "-o FOLDER")
    refused(capsys, ["fot"], "fot")
    refused(capsys, ["encode"], "RUN")


def test_a_folder_that_holds_something(fitted, tmp_path, capsys):
    refused(
        capsys, ["fit", fitted / "x.npy", "-o", fitted / "run", *QUICK], "holds another run", "--resume", folder=fitted
    )
    (tmp_path / "notes.txt").write_text("mine")
    refused(capsys, ["fit", fitted / "x.npy", "-o", tmp_path, *QUICK], "not an empty folder", folder=tmp_path)
    refused(
        capsys, ["fit", fitted / "x.npy", "-o", tmp_path / "notes.txt", *QUICK], "not an empty folder", folder=tmp_path
    )


def test_data_that_do_not_fit_the_model(fitted, tmp_path, capsys):
    wide = save(tmp_path / "wide.npy", RNG.normal(size=(5, 7)))
    expected = ["rows of shape (7,)", "rows of shape (4,)"]
    for command in ("encode", "reconstruct", "score"):
        refused(capsys, [command, fitted / "run", wide, "-o", tmp_path / "out.npz"], *expected, folder=tmp_path)
    refused(capsys, ["evidence", fitted / "run", wide], *expected)
    (tmp_path / "t.csv").write_text("height,width,depth\n1,2,3\n4,5,6\n")
    words = ["encode", fitted / "table", tmp_path / "t.csv", "-o", tmp_path / "z.npz"]
    refused(capsys, words, "3 columns", "fitted on 2", "missing: 'age'", "unknown: 'width', 'depth'", folder=tmp_path)


def test_columns_are_taken_by_name(fitted, tmp_path):
    lines = "\n".join(f"{b},{a}" for a, b in X[:, :2])
    (tmp_path / "t.csv").write_text("height,age\n" + lines)
    for source, out in ((fitted / "t.csv", "a.npy"), (tmp_path / "t.csv", "b.npy")):
        assert run(["encode", str(fitted / "table"), str(source), "-o", str(tmp_path / out)]) == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_outputs(fitted, tmp_path, capsys):
    refused(capsys, ["sample", fitted / "run", "-o", tmp_path / "s.jpg"], "s.jpg", ".png", folder=tmp_path)
    refused(capsys, ["sample", fitted / "run", "-o", tmp_path / "s.png"], "not images", folder=tmp_path)
    refused(capsys, ["sample", fitted / "run", "-o", tmp_path / "no" / "s.npz"], "does not exist", folder=tmp_path)
    refused(
        capsys,
        ["sample", fitted / "run", "-n", "0", "-o", tmp_path / "s.npz"],
        "greater than or equal to 1",
        folder=tmp_path,
    )


def test_runs_and_models(fitted, tmp_path, capsys):
    refused(capsys, ["evidence", tmp_path], "there is no run in")
    shutil.copytree(fitted / "run", tmp_path / "run")
    model = tmp_path / "run" / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    refused(capsys, ["sample", tmp_path / "run", "-o", tmp_path / "s.npz"], "damaged or cut short", folder=tmp_path)
    model.write_bytes(whole.replace(b'\\"format\\": 3', b'\\"format\\": 4'))
    refused(capsys, ["sample", tmp_path / "run", "-o", tmp_path / "s.npz"], "newer minamo", "upgrade", folder=tmp_path)
    refused(capsys, ["evidence", fitted / "run", "--split", "tset"], "did you mean 'test'?")
    refused(capsys, ["evidence", fitted / "run", "--split", "test"], "has no test part")


def test_a_full_disk_keeps_the_previous_checkpoint(fitted, tmp_path):
    """Files may grow to 20 kB only: the new checkpoint fails, the old one and the model still load."""
    np.save(tmp_path / "x.npy", RNG.normal(size=(60, 40)))
    path = tmp_path / "run"
    fit = ["fit", str(tmp_path / "x.npy"), "-o", str(path), "--latent", "8", "--hidden", "32", "--batch", "60"]
    assert run([*fit, "--max-epochs", "2"]) == 0
    before = {name: (path / name).read_bytes() for name in ("checkpoint.safetensors", "model.safetensors")}
    assert len(before["checkpoint.safetensors"]) > 20_000
    resumed = subprocess.run(
        [sys.executable, "-m", "minamo", "fit", "-o", str(path), "--resume", "--max-epochs", "4"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        env=os.environ,
    )
    assert resumed.returncode == 2
    assert "Traceback" not in resumed.stderr
    assert "cannot write" in resumed.stderr.splitlines()[-1]
    for name, content in before.items():
        assert (path / name).read_bytes() == content
    assert not [p for p in path.iterdir() if p.name.endswith(".part")]
    assert run(["evidence", str(path)]) == 0


def test_files_with_another_files_ending(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", x=X)
    np.save(tmp_path / "b.npy", X)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    (tmp_path / "d.csv").write_bytes("âge,b\n1,2\n3,4\n".encode("latin-1"))
    (tmp_path / "e.csv").write_text("a,a\n1,2\n3,4\n")
    for name, expected in (
        ("a.npy", "ending .npz"),
        ("b.npz", "ending .npy"),
        ("c.npz", "not an array"),
        ("d.csv", "cannot be read"),
        ("e.csv", "more than one column called 'a'"),
    ):
        refused(capsys, ["fit", tmp_path / name, "-o", tmp_path / "run", *QUICK], name, expected, folder=tmp_path)


def test_folders_of_images_that_cannot_be_used(tmp_path, capsys):
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "deep.png")
    refused(capsys, ["fit", tmp_path, "-o", tmp_path.parent / "r"], "deep.png", "more than 8 bits", folder=tmp_path)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "deep.png")
    whole = (tmp_path / "deep.png").read_bytes()
    (tmp_path / "deep.png").write_bytes(whole[: len(whole) // 2])
    refused(capsys, ["fit", tmp_path, "-o", tmp_path.parent / "r"], "deep.png", "not an image", folder=tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"random_state": "abc"}', "random_state"),
        ('{"scale": null}', "scale must be positive"),
        ('{"scale": [1]}', "scale must be positive"),
        ('{"params": 3}', "one JSON object"),
        ("[1]", "one JSON object"),
        ('{"latent_dim": 1000000000000}', "not enough memory"),
        ('{"likelihood": "bernoulli", "scale": 1}', "outside the support"),
    ],
)
def test_config_values(content, expected, fitted, tmp_path, capsys):
    (tmp_path / "c.json").write_text(content)
    words = ["fit", fitted / "x.npy", "-o", tmp_path / "run", "--config", tmp_path / "c.json"]
    refused(capsys, words, expected, folder=tmp_path)


def test_values_too_large_to_square(tmp_path, capsys):
    path = save(tmp_path / "big.npy", np.array([[1e200, 1.0], [-1e200, 2.0], [0.0, 3.0]]))
    refused(capsys, ["fit", path, "-o", tmp_path / "run", *QUICK], "column 0", "rescale", folder=tmp_path)


def test_a_damaged_run(fitted, tmp_path, capsys):
    shutil.copytree(fitted / "run", tmp_path / "run")
    (tmp_path / "run/config.json").write_text("{}")
    refused(capsys, ["evidence", tmp_path / "run"], "config.json is damaged", folder=tmp_path)
    refused(capsys, ["fit", "-o", tmp_path / "run", "--resume"], "config.json is damaged", folder=tmp_path)
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(fitted / "run", tmp_path / "run")
    log = (tmp_path / "run/log.jsonl").read_text().splitlines()
    (tmp_path / "run/log.jsonl").write_text("\n".join(["{", *log[1:]]))
    refused(capsys, ["fit", "-o", tmp_path / "run", "--resume"], "damaged at line 1", folder=tmp_path)
    (tmp_path / "run/log.jsonl").unlink()
    assert run(["fit", "-o", str(tmp_path / "run"), "--resume"]) == 0


def test_a_refused_read_is_not_called_damage(tmp_path, capsys, monkeypatch):
    save(tmp_path / "x.npy", X)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "x.npy")

    monkeypatch.setattr(np, "load", denied)
    refused(capsys, ["fit", tmp_path / "x.npy", "-o", tmp_path / "run"], "Permission denied: x.npy")


def test_one_row_can_be_judged(fitted, tmp_path, capsys):
    one = save(tmp_path / "one.npy", X[:1])
    assert run(["evidence", str(fitted / "run"), str(one), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert '"n": 1' in out


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_its_extra_explore_says_what_to_install(package, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    assert run(["explore", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.err == f"minamo: explore needs {package}: pip install 'minamo[explore]'\n"
    assert told.out == ""
