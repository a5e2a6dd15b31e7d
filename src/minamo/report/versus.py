"""Several runs on the same rows: who is better, by how much, and with which error."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from minamo.errors import DataError
from minamo.estimator import VAE
from minamo.evidence import evaluate, reference
from minamo.evidence.comparison import compare
from minamo.plan import split
from minamo.randomness import drawing_from, stream
from minamo.report.opened import Opened, read

DRAWS = 100


def differences(runs: list[Opened], names: list[str]) -> list[dict[str, Any]]:
    """Paired differences of IWAE-100 of every two runs, on the rows that all of them held out.

    Args:
        runs: two or more.
        names: what to call them.

    Returns:
        `Comparison.to_json()` of every pair.

    Raises:
        DataError: the data differ, or densities are over other units, or no row was held out by all.
    """
    vaes = [_model(run, name) for run, name in zip(runs, names, strict=True)]
    for vae, name in zip(vaes[1:], names[1:], strict=True):
        _refuse_other_data(vaes[0], vae, names[0], name)
    data = read(vaes[0], str(runs[0].config.get("source")))
    held_out = set(range(len(data)))
    for vae in vaes:
        held_out &= set(split(len(data), vae.validation, vae.seed_)[1].tolist())
    if not held_out:
        raise DataError(f"{' and '.join(names)} held out no row in common: fit them with one --seed and --validation")
    index = np.array(sorted(held_out))
    # Binarization is drawn once, by the first run's seed: a difference is one of models and not of data.
    drawn = vaes[0].rows(data, index, own=True)
    bounds = []
    for vae in vaes:
        rows = drawn if vae.prepare_.binarize != "none" else vae.rows(data, index, own=True)
        with drawing_from(stream(vae.seed_, "evidence")):
            bounds.append(evaluate(vae.model_, rows, DRAWS).iwae)
    return [
        compare(bounds[i], bounds[j], (names[i], names[j]), f"iwae-{DRAWS}").to_json()
        for i, j in combinations(range(len(vaes)), 2)
    ]


def _model(run: Opened, name: str) -> VAE:
    if run.vae is None:
        raise DataError(f"{name} cannot be compared: {' '.join(run.missing)}")
    return run.vae


def _refuse_other_data(first: VAE, second: VAE, name: str, other: str) -> None:
    """Raise DataError if numbers of the two are not of the same thing."""
    for what, (one, two) in {
        "data (fingerprint)": [vae.description_["fingerprint"][:16] for vae in (first, second)],
        "part of the data": [vae.description_["data"]["part"] for vae in (first, second)],
        "density over": [reference(vae.model_.likelihood, vae.schema_.unit) for vae in (first, second)],
        "binarization": ["none" if vae.prepare_.binarize == "none" else "drawn" for vae in (first, second)],
    }.items():
        if one != two:
            raise DataError(f"{name} and {other} cannot be compared, they differ in {what}: {one} and {two}")
