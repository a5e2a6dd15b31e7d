"""What an epoch costs with each prior, at the settings of recipes/vampprior.py.

Command:  MINAMO_DATA=folder python benchmarks/priors.py        (or make bench; 2 minutes on 2 cores)

Gated nets 784-300-300-40 and back, dynamically binarized MNIST, batch 500, the step that "auto" takes. One run with
each prior; after a first epoch in which things are compiled, their epochs are trained in turn, so that a machine whose
speed drifts slows all alike; medians, and ratios to the standard normal prior.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import VAE, fast_cpu, load
from minamo.words import PRIORS
from recipes.vampprior import model

ROWS, HELD_OUT, ROUNDS = 20_000, 500, 7


def main() -> None:
    mnist = load("mnist", "train")
    mnist = replace(mnist, x=mnist.x[: ROWS + HELD_OUT])
    with fast_cpu():
        runs, seconds, said = {}, {word: [] for word in PRIORS}, {}
        for word in PRIORS:
            vae: VAE = model("mnist", "normal", 100).set_params(prior=word, validation=HELD_OUT)
            runs[word] = vae.train(vae.plan(mnist))
            said[word] = vae.notes_[-1]
        for n in range(1 + ROUNDS):
            for word, run in runs.items():
                record = next(run).record
                if "note" in record:
                    raise SystemExit(record["note"])
                if n:
                    seconds[word].append(ROWS / record["samples_per_s"])
    lines = ["| prior | samples/s, median | times the cost with normal (range) | |", "|---|---|---|---|"]
    for word, found in seconds.items():
        ratios = [a / b for a, b in zip(found, seconds["normal"], strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(f"| {word} | {ROWS / statistics.median(found):,.0f} | {spread} | {said[word]} |")
    text = (
        f"{results.circumstances('python benchmarks/priors.py')}; gated 784-300-300-40 and back, batch 500, 500 "
        f"components; {ROUNDS} epochs of {ROWS:,} rows with each, in turn; judging the held-out rows is left out.\n\n"
        + "\n".join(lines)
    )
    print(results.write("An epoch with each prior", text))


if __name__ == "__main__":
    main()
