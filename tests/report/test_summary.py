"""The summary says what the model's own measures say, and what is missing where something is."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest

from minamo import VAE, load
from minamo.cli.main import run
from minamo.data import Rows
from minamo.evidence.collapse import ACTIVE
from minamo.plan import split
from minamo.report import summarize_run
from minamo.report.figures import learning
from minamo.report.values import images


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "digits"
    words = "--latent 6 --hidden 32 --max-epochs 3 --warmup 2 --prior vamp --components 20 --compile off"
    assert run(["fit", "digits", "-o", str(path), *words.split()]) == 0
    return path


@pytest.fixture(scope="module")
def summary(digits):
    return summarize_run(digits)


@pytest.fixture
def copy(digits, tmp_path):
    return shutil.copytree(digits, tmp_path / "copy")


def held_out(vae) -> Rows:
    return vae.rows(load("digits"), split(1797, vae.validation, vae.seed_)[1], own=True)


def test_fit_ends_with_the_page_and_nothing_is_missing(digits, summary):
    assert (digits / "report.html").stat().st_size < 8e6
    assert summary["missing"] == []


def test_the_numbers_are_those_of_evidence(digits, summary):
    vae = VAE.load(digits / "model.safetensors")
    expected = vae.evidence(held_out(vae)).to_json()
    told = {one["name"]: one for one in summary["evidence"]["measures"]}
    assert {"elbo", "reconstruction", "kl", "iwae", "bits_per_dim", "active_units"} <= set(told)
    for name, one in told.items():
        assert {k: one[k] for k in ("value", "se", "n", "unit")} == expected[name]
        assert one["means"], f"{name} is not explained"
    assert sum(one["active"] for one in summary["latents"]) == expected["active_units"]["value"]


def test_what_judged_the_epochs_is_drawn_where_it_was_not_the_elbo(tmp_path):
    words = "--latent 2 --hidden 8 --max-epochs 2 --compile off --objective beta"
    assert run(["fit", "digits", "-o", str(tmp_path / "run"), *words.split()]) == 0
    curves = summarize_run(tmp_path / "run")["curves"]
    drawn = learning(curves)["objective"]["data"]
    (line,) = drawn
    assert line["y"] == pytest.approx(curves["validation_objective"], rel=1e-5)  # six digits are drawn
    expected = [a - 4 * b for a, b in zip(curves["validation_reconstruction"], curves["validation_kl"], strict=True)]
    assert curves["validation_objective"] == pytest.approx(expected)
    assert "what is maximized" in (tmp_path / "run" / "report.html").read_text()


def test_a_record_of_other_weights_is_not_believed(copy):
    stored = json.loads((copy / "evidence.json").read_text())
    stored["elbo"]["value"], stored["epochs"] = 1e6, stored["epochs"] - 1
    (copy / "evidence.json").write_text(json.dumps(stored))
    assert summarize_run(copy)["evidence"]["measures"][0]["value"] < 1e3


def test_latents_are_ordered_and_counted_by_their_variance(digits, summary):
    vae = VAE.load(digits / "model.safetensors")
    variance = vae.transform(held_out(vae)).var(0)
    for one in summary["latents"]:
        assert one["variance"] == pytest.approx(variance[one["latent"]], rel=1e-3)
        assert one["active"] == (one["variance"] > ACTIVE)
    order = [one["variance"] for one in summary["latents"]]
    assert order == sorted(order, reverse=True)


def test_the_map_is_of_posterior_means_with_their_labels(digits, summary):
    from sklearn.datasets import load_digits

    vae, seen = VAE.load(digits / "model.safetensors"), summary["map"]
    i = 700
    z = vae.transform(vae.rows(load("digits"), np.array([seen["row"][i]]), own=True))[0]
    first, second = seen["latents"]
    assert [seen["x"][i], seen["y"][i]] == pytest.approx([z[first], z[second]], rel=1e-3)
    assert seen["label"][i] == str(load_digits(return_X_y=True)[1][seen["row"][i]])


def test_the_worst_rows_have_the_lowest_log_p(digits, summary):
    vae = VAE.load(digits / "model.safetensors")
    log_p = vae.score_samples(held_out(vae))
    numbers = split(1797, vae.validation, vae.seed_)[1]
    rows = [one["row"] for one in summary["worst"]["rows"]]
    lowest = numbers[np.argsort(log_p)][:16]
    assert len(set(rows)) == 8
    assert set(rows) <= set(lowest.tolist())
    for one in summary["worst"]["rows"]:
        at = log_p[np.flatnonzero(numbers == one["row"])[0]]
        assert one["iwae"] == pytest.approx(at, abs=0.05 * abs(float(at)) + 1)
        assert one["elbo"] <= one["iwae"]
        assert one["elbo"] == pytest.approx(one["reconstruction"] - one["kl"])


def test_pictures_are_the_models(digits, summary):
    vae = VAE.load(digits / "model.safetensors")
    assert np.abs(images(summary["samples"]) - np.clip(vae.sample(64), 0, 1)).max() <= 0.5 / 255 + 1e-6
    told = summary["components"]
    assert (told["what"], told["of"]) == ("pseudo-inputs", 20)
    prior: Any = vae.model_.prior
    u = prior.heaviest(64).numpy()
    assert np.abs(images(told["sheet"]) - np.clip(u, 0, 1)).max() <= 0.5 / 255 + 1e-6


def test_a_traversal_moves_one_latent(digits, summary):
    vae, told = VAE.load(digits / "model.safetensors"), summary["traversals"]
    everything = vae.transform(load("digits"))
    j = told["latents"][0]
    z = np.repeat(everything.mean(0)[None], 2, 0)
    z[:, j] = np.percentile(everything[:, j], [1, 99])
    shown = images(told["sheet"])[[0, 8]]
    assert np.abs(shown - np.clip(vae.inverse_transform(z), 0, 1)).max() < 0.01


def test_curves_hold_the_log_and_the_weight_of_the_kl(digits, summary):
    lines = [json.loads(line) for line in (digits / "log.jsonl").read_text().splitlines()]
    assert summary["curves"]["elbo"] == [line["elbo"] for line in lines]
    weights = summary["curves"]["kl_weight"]
    steps = 13  # 1617 rows in batches of 128
    assert weights == pytest.approx([(steps + 1) / (4 * steps), 0.5 + (steps + 1) / (4 * steps), 1.0])


def test_a_summary_is_json(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def report(path, capsys) -> str:
    (path / "report.html").unlink()
    capsys.readouterr()
    assert run(["report", str(path)]) == 0
    assert (path / "report.html").stat().st_size > 1e3
    return capsys.readouterr().out


def test_a_log_cut_short_is_read_up_to_there(copy, capsys):
    text = (copy / "log.jsonl").read_text()
    (copy / "log.jsonl").write_text(text[:-30])
    assert "missing" not in report(copy, capsys)
    assert summarize_run(copy)["curves"]["epoch"] == [1, 2]
    (copy / "log.jsonl").write_text("{not json\n" + text)
    assert "missing: Learning curves cannot be drawn" in report(copy, capsys)


def test_a_run_of_an_older_version_lacks_what_was_not_written_then(copy, capsys):
    stored = json.loads((copy / "config.json").read_text())
    for name in ("threads", "command", "engine", "torch"):
        stored.pop(name)
    (copy / "config.json").write_text(json.dumps(stored))
    lines = [json.loads(line) for line in (copy / "log.jsonl").read_text().splitlines()]
    old = [{k: line[k] for k in ("epoch", "elbo", "kl")} for line in lines]
    (copy / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    report(copy, capsys)
    found = summarize_run(copy)
    assert found["command"] is None
    assert set(found["curves"]) >= {"epoch", "elbo", "kl"}
    assert found["evidence"]["measures"]


def test_without_a_model_the_curves_are_left(copy, capsys):
    (copy / "model.safetensors").unlink()
    (copy / "config.json").write_text("{cut sho")
    out = report(copy, capsys)
    assert "missing: config.json cannot be read" in out
    assert "missing: The model cannot be shown" in out
    found = summarize_run(copy)
    assert found["curves"]["epoch"] == [1, 2, 3]
    assert "samples" not in found


def test_without_its_data_a_model_still_dreams(copy, capsys):
    stored = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**stored, "source": "/nowhere/x.npy"}))
    assert "missing: The data cannot be shown" in report(copy, capsys)
    found = summarize_run(copy)
    assert found["map"] is None
    assert found["samples"]["n"] == 64
    assert found["evidence"]["measures"]


def test_no_run_is_one_line(tmp_path, capsys):
    assert run(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
