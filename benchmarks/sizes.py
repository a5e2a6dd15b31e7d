"""What a sample costs as the net grows: by the width of its hidden layer, and by the number of latents.

Command:  MINAMO_DATA=folder python benchmarks/sizes.py        (3 minutes on 2 cores)

784-width-latents and back, Bernoulli, batch 512, the step that a long run takes. One run of each size; after a first
epoch in which things are compiled, their epochs are trained in turn, so that a machine whose speed drifts slows all
alike; medians.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import VAE, fast_cpu, load
from minamo.training.precision import Products

ROWS, ROUNDS = 10_240, 5
USUAL = (400, 20)
SIZES = [(100, 20), USUAL, (1600, 20), (6400, 20), (400, 2), (400, 100), (400, 500)]
"""(width, latents)."""


def main() -> None:
    mnist = load("mnist", "train")
    mnist = replace(mnist, x=mnist.x[: ROWS + 1])
    with fast_cpu():
        runs, work = {}, {}
        seconds: dict[tuple[int, int], list[float]] = {size: [] for size in SIZES}
        for width, latents in SIZES:
            vae = VAE(latents, likelihood="bernoulli", binarize="dynamic", hidden=(width,), batch_size=512)
            vae.set_params(validation=1, patience=None, max_epochs=1000, compile="on")
            plan = vae.plan(mnist)
            runs[width, latents], work[width, latents] = vae.train(plan), Products.of(plan.model).work
        for n in range(1 + ROUNDS):
            for size, run in runs.items():
                record = next(run).record
                if "note" in record:
                    raise SystemExit(record["note"])
                if n:
                    seconds[size].append(1 / record["samples_per_s"])
    lines = [
        "| hidden width | latents | samples/s, median | cost of a sample (range) | its products, operations |",
        "|---|---|---|---|---|",
    ]
    for size in SIZES:
        times = [a / b for a, b in zip(seconds[size], seconds[USUAL], strict=True)]
        rate, spread = 1 / statistics.median(seconds[size]), f"({min(times):.2f} to {max(times):.2f})"
        cost, needed = f"{statistics.median(times):.2f} {spread}", f"{work[size] / work[USUAL]:.2f}"
        lines.append(f"| {size[0]} | {size[1]} | {rate:,.0f} | {cost} | {needed} |")
    text = (
        f"{results.circumstances('python benchmarks/sizes.py')}; batch 512, {ROUNDS} epochs of {ROWS:,} rows of each, "
        f"in turn; cost and operations beside those of {USUAL[0]} and {USUAL[1]}.\n\n" + "\n".join(lines)
    )
    print(results.write("The cost of a sample, by width and latents", text))


if __name__ == "__main__":
    main()
