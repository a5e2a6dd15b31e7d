"""Runs side by side: the difference is paired, and only where the data are the same."""

from __future__ import annotations

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
