"""Runs side by side: the difference is paired, and only where the data are the same."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from minamo import VAE, load
from minamo.cli.main import run
from minamo.plan import split
from minamo.report import differences, open_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    common = ["digits", "--hidden", "16", "--compile", "off"]
    for name, words in {
        "few": ["--latent", "2", "--max-epochs", "2"],
        "more": ["--latent", "2", "--max-epochs", "6"],
        "bits": ["--latent", "2", "--max-epochs", "1", "--binarize", "dynamic"],
        "bits3": ["--latent", "3", "--max-epochs", "1", "--binarize", "dynamic"],
        "seed": ["--latent", "2", "--max-epochs", "1", "--seed", "1", "--validation", "0.5"],
        "own": ["--latent", "2", "--max-epochs", "2", "--posterior", "per-datum"],
    }.items():
        assert run(["fit", *common, *words, "-o", str(folder / name)]) == 0
    np.save(folder / "other.npy", load("digits").x[:300])
    assert (
        run(["fit", str(folder / "other.npy"), "--latent", "2", "--max-epochs", "1", "-o", str(folder / "other")]) == 0
    )
    return folder


def test_the_difference_is_that_of_the_scores_row_by_row(runs):
    told = differences([open_run(runs / "more"), open_run(runs / "few")], ["more", "few"])[0]
    vaes = [VAE.load(runs / name / "model.safetensors") for name in ("more", "few")]
    index = split(1797, vaes[0].validation, 0)[1]
    one, two = (vae.score_samples(vae.rows(load("digits"), index, own=True)) for vae in vaes)
    difference = one - two
    assert told["difference"]["value"] == pytest.approx(difference.mean(), abs=0.3)
    assert told["difference"]["se"] == pytest.approx(difference.std(ddof=1) / math.sqrt(len(index)), rel=0.15)
    assert (told["difference"]["n"], told["better"]) == (180, "more")


@pytest.mark.parametrize("pair", [("more", "few"), ("bits", "bits3")])
def test_a_report_evidence_and_the_model_give_one_figure(runs, capsys, pair):
    """The report chooses rows; who is better on them, and by how much, is not for it to say otherwise."""
    told = differences([open_run(runs / name) for name in pair], list(pair))[0]
    one, two = (VAE.load(runs / name / "model.safetensors") for name in pair)
    rows = one.rows(load("digits"), split(1797, one.validation, 0)[1], own=True)
    assert one.compare(two, rows, names=pair).to_json() == told
    capsys.readouterr()
    assert run(["evidence", str(runs / pair[0]), "--against", str(runs / pair[1]), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["comparison"]
    assert printed["difference"] == told["difference"]
    assert told["difference"]["n"] == 180


def test_what_is_known_of_the_first_is_not_weighed_again(runs):
    one, two = (VAE.load(runs / name / "model.safetensors") for name in ("more", "few"))
    rows = one.rows(load("digits"), np.arange(40), own=True)
    plain = one.paired([two], rows, 20, names=("more", "few"))
    marked = one.paired([two], rows, 20, names=("more", "few"), known=plain[0] + 1)
    assert (marked[0] == plain[0] + 1).all()
    assert (marked[1] == plain[1]).all()
    assert (one.evidence(rows, 20).by_row == plain[0]).all()


def test_of_three_runs_with_other_seeds_the_rows_that_all_held_out(runs):
    names = ["more", "few", "seed"]
    told = differences([open_run(runs / name) for name in names], names)
    common = set(split(1797, 0.1, 0)[1]) & set(split(1797, 0.5, 1)[1])
    assert [c["difference"]["n"] for c in told] == [len(common)] * 3
    a, b, c = (one["difference"]["value"] for one in told)
    assert a + c == pytest.approx(b)


def test_a_row_keeps_its_number_in_another_model(runs):
    """Of a training row a per-datum posterior knows the q; without the number it would look for one from scratch."""
    first, other = (VAE.load(runs / name / "model.safetensors") for name in ("more", "own"))
    trained = split(1797, other.validation, 0)[0][:30]
    theirs = first.same_rows(other, first.rows(load("digits"), trained, own=True))
    other.model_.infer(next(theirs.batches(30)))
    assert int(other.model_.posterior.steps.sum()) == 0  # type: ignore[union-attr,operator]
    assert first.same_rows(other, first.rows(load("digits"), trained)).numbers is None


def test_both_faces_refuse_in_the_same_words(runs, tmp_path, capsys):
    for other in ("bits", "other"):
        said = []
        for command in (
            ["report", str(runs / "more"), str(runs / other), "-o", str(tmp_path / "c.html")],
            ["evidence", str(runs / "more"), "--against", str(runs / other)],
        ):
            capsys.readouterr()
            assert run(command) == 2
            said.append(capsys.readouterr().err.replace(f"{runs}/", ""))
        assert said[0] == said[1]
    assert not list(tmp_path.iterdir())


def test_the_page_has_both(runs, tmp_path):
    page = tmp_path / "c.html"
    assert run(["report", str(runs / "more"), str(runs / "few"), "-o", str(page)]) == 0
    text = page.read_text()
    assert "more is better" in text
    assert text.count("plotly.js v") == 1
    assert len(text.encode()) < 8e6


@pytest.mark.parametrize(("other", "what"), [("other", "fingerprint"), ("bits", "density over")])
def test_other_data_are_refused_in_one_line(runs, tmp_path, capsys, other, what):
    capsys.readouterr()
    assert run(["report", str(runs / "more"), str(runs / other), "-o", str(tmp_path / "c.html")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert what in err
    assert not list(tmp_path.iterdir())
