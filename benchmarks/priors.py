"""What an epoch costs with each prior, at the settings of recipes/vampprior.py.

Command:  MINAMO_DATA=folder python benchmarks/priors.py        (or make bench; 2 minutes on 2 cores)

Gated nets 784-300-300-40 and back, dynamically binarized MNIST, batch 500, 10,000 rows held out, the step that "auto"
takes. One run with each prior; after a first epoch in which things are compiled, their epochs are trained in turn, so
that a machine whose speed drifts slows all alike; medians, and ratios to the standard normal prior: of the gradient
steps alone, and of whole epochs, in which the held-out rows are judged and the state is kept.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import VAE, fast_cpu, load
from minamo.words import PRIORS
from recipes.vampprior import model

ROUNDS = 7


def main() -> None:
    mnist = load("mnist", "train")
    with fast_cpu():
        runs, said = {}, {}
        steps, whole = {word: [] for word in PRIORS}, {word: [] for word in PRIORS}
        for word in PRIORS:
            vae: VAE = model("mnist", "normal", 100).set_params(prior=word)
            plan = vae.plan(mnist)
            runs[word], rows = vae.train(plan), len(plan.rows)
            said[word] = vae.notes_[-1]
        for n in range(1 + ROUNDS):
            for word, run in runs.items():
                started = time.perf_counter()
                record = next(run).record
                if "note" in record:
                    raise SystemExit(record["note"])
                if n:
                    steps[word].append(rows / record["samples_per_s"])
                    whole[word].append(time.perf_counter() - started)
    lines = [
        "| prior | samples/s, median | steps cost, times those with normal (range) | whole epochs (range) | |",
        "|---|---|---|---|---|",
    ]
    for word in PRIORS:
        rate = rows / statistics.median(steps[word])
        lines.append(f"| {word} | {rate:,.0f} | {ratios(steps, word)} | {ratios(whole, word)} | {said[word]} |")
    text = (
        f"{results.circumstances('python benchmarks/priors.py')}; gated 784-300-300-40 and back, batch 500, 500 "
        f"components; {ROUNDS} epochs of {rows:,} rows with each, in turn; a whole epoch judges 10,000 more.\n\n"
        + "\n".join(lines)
    )
    print(results.write("An epoch with each prior", text))


def ratios(seconds: dict[str, list[float]], word: str) -> str:
    """Median and range of an epoch's seconds over those of the same round with the standard normal prior."""
    found = [a / b for a, b in zip(seconds[word], seconds["normal"], strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


if __name__ == "__main__":
    main()
