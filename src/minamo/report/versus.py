"""Several runs on the rows that all of them held out: who is better, by how much, and with which error."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from minamo.errors import DataError
from minamo.estimator import VAE
from minamo.evidence.comparison import compare
from minamo.plan import split
from minamo.report.opened import Opened, read

DRAWS = 100


def differences(runs: list[Opened], names: list[str]) -> list[dict[str, Any]]:
    """Paired differences of IWAE-100 of every two runs, on the rows that all of them held out; see `VAE.paired`.

    Args:
        runs: two or more.
        names: what to call them.

    Returns:
        `Comparison.to_json()` of every pair.

    Raises:
        DataError: the data differ, or densities are over other units, or no row was held out by all.
    """
    first, *others = [_model(run, name) for run, name in zip(runs, names, strict=True)]
    for vae, name in zip(others, names[1:], strict=True):
        first.refuse_unlike(vae, (names[0], name), own=True)
    data = read(first, str(runs[0].config.get("source")))
    held_out = set.intersection(*(set(split(len(data), v.validation, v.seed_)[1].tolist()) for v in (first, *others)))
    if not held_out:
        raise DataError(f"{' and '.join(names)} held out no row in common: fit them with one --seed and --validation")
    rows = first.rows(data, np.array(sorted(held_out)), own=True)
    bounds = first.paired(others, rows, DRAWS, names=names)
    return [
        compare(bounds[i], bounds[j], (names[i], names[j]), f"iwae-{DRAWS}").to_json()
        for i, j in combinations(range(len(bounds)), 2)
    ]


def _model(run: Opened, name: str) -> VAE:
    if run.vae is None:
        raise DataError(f"{name} cannot be compared: {' '.join(run.missing)}")
    return run.vae
