"""What a training step costs with each posterior, and that a per-datum step does not grow with the number of rows.

Command:  python benchmarks/ladder.py        (or make bench; under a minute, needs no data)

784-400-400-32 and back, Bernoulli, batches of 128 random images: draw, backward, Adam. Steps of all kinds are taken
in turn, so that a machine whose speed drifts slows all alike; medians, and ratios to the amortized diagonal step.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import Batch, LatentVariableModel
from minamo.likelihoods import Bernoulli
from minamo.nets import Mlp
from minamo.objectives import sticking_the_landing
from minamo.priors import StandardNormal
from minamo.randomness import drawing_from, stream
from minamo.words import posterior

PIXELS, LATENTS, HIDDEN, BATCH = 784, 32, (400, 400), 128
ROUNDS = 25
KINDS = [
    ("amortized", "diagonal", 0),
    ("amortized", "full-covariance", 0),
    ("amortized", "flow", 0),
    ("semi-amortized", "diagonal", 0),
    ("semi-amortized", "full-covariance", 0),
    ("per-datum", "diagonal", 1_000),
    ("per-datum", "diagonal", 60_000),
    ("per-datum", "diagonal", 1_000_000),
]


class Trained:
    """A model in training, and how long its steps took."""

    def __init__(self, word: str, family: str, n_rows: int):
        q = posterior(word, family, LATENTS, lambda n_outputs: Mlp(PIXELS, n_outputs, HIDDEN), None, n_rows)
        self.model = LatentVariableModel(StandardNormal(LATENTS), Bernoulli(Mlp(LATENTS, PIXELS, HIDDEN)), q).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.n_rows = max(n_rows, BATCH)
        self.seconds: list[float] = []

    def step(self) -> None:
        """One gradient step on random images."""
        batch = Batch((torch.rand(BATCH, PIXELS) < 0.2).float(), torch.randperm(self.n_rows)[:BATCH])
        started = time.perf_counter()
        loss = -sticking_the_landing(self.model.draw(batch)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.seconds.append(time.perf_counter() - started)


def main() -> None:
    torch.set_flush_denormal(True)
    with drawing_from(stream(0, "benchmark")):
        kinds = [Trained(*kind) for kind in KINDS]
        for _ in range(ROUNDS):
            for kind in kinds:
                kind.step()
    first = kinds[0].seconds[5:]
    lines = [
        "| posterior | family | rows in the table | ms a step, median | times the first (range of the middle half) |"
    ]
    lines.append("|---|---|---|---|---|")
    for (word, family, n), kind in zip(KINDS, kinds, strict=True):
        ratios = sorted(a / b for a, b in zip(kind.seconds[5:], first, strict=True))
        quarter = len(ratios) // 4
        spread = f"{statistics.median(ratios):.2f} ({ratios[quarter]:.2f} to {ratios[-1 - quarter]:.2f})"
        median = 1000 * statistics.median(kind.seconds[5:])
        lines.append(f"| {word} | {family} | {f'{n:,}' if n else ''} | {median:.2f} | {spread} |")
    text = (
        f"{results.circumstances()}; {ROUNDS - 5} steps of each, in turn. 784-400-400-32 and back, Bernoulli, "
        f"batch {BATCH}. Semi-amortized takes 5 gradient steps on q with 4 draws each, per-datum 2.\n\n"
        + "\n".join(lines)
    )
    print(results.write("A training step with each posterior", text))


if __name__ == "__main__":
    main()
