"""What `minamo evidence` measures besides, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from minamo.cli.main import run
from tests.cli.test_bad_input import refused

QUICK = ["--latent", "2", "--hidden", "8", "--max-epochs", "3"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("evidence")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(150, 5))
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", x + 1)
    np.save(folder / "wide.npy", np.hstack([x, x]))
    for name, source, more in (
        ("a", "x", []),
        ("b", "x", ["--hidden", "16"]),
        ("seed", "x", ["--seed", "1"]),
        ("y", "y", []),
        ("wide", "wide", []),
    ):
        assert run(["fit", str(folder / f"{source}.npy"), "-o", str(folder / name), *QUICK, *more]) == 0
    return folder


def measured(capsys, *words: object) -> dict:
    capsys.readouterr()
    assert run(["evidence", *(str(w) for w in words), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_a_list_of_draws(runs, capsys):
    found = measured(capsys, runs / "a", "--samples", "100,1,10")
    assert list(found["bounds"]) == ["iwae-1", "iwae-10", "iwae-100"]
    values = [m["value"] for m in found["bounds"].values()]
    assert values == sorted(values)
    assert found["iwae"] == found["bounds"]["iwae-100"]
    assert found["samples"] == 100
    for name in ("effective_samples", "pareto_k", "unreliable", "marginal_kl", "mutual_information"):
        assert set(found[name]) == {"value", "se", "n", "unit"}
    assert run(["evidence", str(runs / "a"), "--samples", "1,10"]) == 0
    out = capsys.readouterr().out
    for text in ("iwae-1 ", "iwae-10 ", "kl = rate", "reconstruction = -distortion", "marginal_kl"):
        assert text in out


def test_a_small_budget_gives_the_same_numbers(runs, capsys):
    whole = measured(capsys, runs / "a", "--samples", "50")
    parts = measured(capsys, runs / "a", "--samples", "50", "--memory", "0.001")
    for name in ("elbo", "iwae", "effective_samples"):
        assert parts[name]["value"] == pytest.approx(whole[name]["value"], rel=1e-4)


def test_everything_at_once_is_one_object_and_kept_in_the_run(runs, capsys):
    words = ["--ais", "--sandwich", "20", "--calibration", "100", "--temperatures", "20", "--chains", "4"]
    found = measured(capsys, runs / "a", *words, "--against", runs / "b")
    assert set(found["ais"]) == {"log_p", "above_iwae", "effective_chains", "temperatures", "chains"}
    assert found["ais"]["log_p"]["n"] == 15
    assert found["sandwich"]["settings"]["temperatures"] == 20
    assert found["sandwich"]["width"]["n"] == 20
    assert found["comparison"]["first"] == str(runs / "a")
    assert set(found["calibration"]) == {"p_value", "p_values", "passed", "coverage", "predictive_coverage"}
    kept = (runs / "a" / "measured.jsonl").read_text().splitlines()
    assert json.loads(kept[-1]) == found
    assert run(["evidence", str(runs / "a"), *words, "--against", str(runs / "b")]) == 0
    out = capsys.readouterr().out
    for text in ("ais-20", "ais - iwae-100", "simulated data:", "calibration: q(z|x)", "nats/datum (iwae-100, 15 data"):
        assert text in out


def test_comparison_is_paired_and_has_two_sides(runs, capsys):
    there = measured(capsys, runs / "a", "--against", runs / "b")["comparison"]["difference"]
    back = measured(capsys, runs / "b", "--against", runs / "a")["comparison"]["difference"]
    assert there["value"] == pytest.approx(-back["value"], abs=0.2)
    assert measured(capsys, runs / "a", "--against", runs / "a")["comparison"]["difference"]["value"] == 0.0


def test_runs_on_other_data_are_not_compared(runs, capsys):
    words = ["evidence", runs / "a", "--against"]
    refused(capsys, [*words, runs / "y"], "data differ", "name a SOURCE", folder=runs)
    refused(capsys, [*words, runs / "seed"], "held-out rows differ", folder=runs)
    refused(capsys, ["evidence", runs / "a", runs / "x.npy", "--against", runs / "wide"], "columns: 5", folder=runs)
    assert run(["evidence", str(runs / "a"), str(runs / "y.npy"), "--against", str(runs / "y")]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--samples", "many"], "--samples takes numbers of draws such as 100 or 100,1000,5000, got 'many'"),
        (["--samples", "0"], "got '0'"),
        (["--samples", "10,-5"], "got '10,-5'"),
        (["--sandwich", "1"], "got '1'"),
        (["--temperatures", "0"], "got '0'"),
        (["--against", "nowhere"], "there is no run in 'nowhere'"),
    ],
)
def test_refusals(runs, capsys, words, said):
    refused(capsys, ["evidence", runs / "a", *words], said, folder=runs)


def test_a_number_below_the_floor_is_refused(runs, capsys, monkeypatch):
    """A data set with a floor, made to look like this one."""
    np.save(runs / "grey.npy", np.random.default_rng(0).random((60, 4)))
    words = ["fit", str(runs / "grey.npy"), "-o", str(runs / "grey"), *QUICK, "--binarize", "dynamic"]
    assert run(words) == 0
    # Four bits are log 16 = 2.77 nats at most, far below 45.53.
    monkeypatch.setattr("minamo.evidence.floors.FLOORS", {"grey.npy": (45.53, 0.11)})
    refused(capsys, ["evidence", runs / "grey"], "below 45.53", "the number is a bug", folder=runs)


def test_an_evaluation_goes_on_where_it_was_interrupted(runs, capsys, monkeypatch):
    """The same command again takes the rows up that it has; another seed, or a damaged file, begins anew."""
    from minamo import run as runs_of
    from minamo.evidence import weights

    words, kept = [runs / "a", "--split", "train", "--samples", "30"], runs / "a" / "weights.safetensors"
    whole = measured(capsys, *words)
    monkeypatch.setattr(runs_of, "KEEP_EVERY", 0.0)
    plain, weighed = weights._weigh_batch, []

    def weigh_batch(model, batch, rows, *rest):
        if rows.start >= 64 and interrupt:
            raise KeyboardInterrupt
        weighed.append(rows.start)
        return plain(model, batch, rows, *rest)

    monkeypatch.setattr(weights, "_weigh_batch", weigh_batch)
    for more, begins in ((["--seed", "5"], 0), ([], 64)):
        interrupt = True
        assert run(["evidence", *(str(w) for w in words)]) == 130
        assert kept.exists()
        interrupt, weighed = False, []
        found = measured(capsys, *words, *more)
        assert weighed[0] == begins
        assert not kept.exists()
    assert found == whole
    kept.write_bytes(b"damaged")
    assert measured(capsys, *words) == whole
