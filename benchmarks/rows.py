"""What a sample costs when the rows are few or many, resident or mapped from a file, and what memory they take.

Command:  MINAMO_DATA=folder python benchmarks/rows.py        (4 minutes on 2 cores; temporary files of 520 MB)

784-400-20, Bernoulli, batch 128, compiled; MNIST's 60,000 images, a tenth of them, and ten copies, trained on in
turn, every one in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import fast_cpu, load
from minamo.data import Prepare, Rows
from minamo.training import Engine, Settings, train

ROUNDS = 5
LEAST = 120_000
"""Samples in a round, where they are more than one epoch."""
KINDS = [
    ("6,000 rows, resident", 6_000, "resident"),
    ("60,000 rows, resident", 60_000, "resident"),
    ("600,000 rows, resident", 600_000, "resident"),
    ("600,000 rows, mapped", 600_000, "mapped"),
]


def serve(n: int, how: str, path: str, pipe: Connection) -> None:
    """In a process of its own: train when asked, and send back (seconds a sample, peak memory in MB)."""
    from benchmarks.peers.minamo_train import model_of
    from benchmarks.peers.protocol import peak_mb

    x = np.load(path, mmap_mode="r" if how == "mapped" else None)
    with fast_cpu():
        settings = Settings(128, 1e-3, 10**9, None, 0, engine=Engine(compiled=True))
        states = train(model_of(784, 400, 20, 0), Rows(x, Prepare(divisor=255.0)), None, settings)
        next(states)
        pipe.send(None)
        while pipe.recv():
            started = time.perf_counter()
            for _ in range(max(1, LEAST // n)):
                next(states)
            seconds = time.perf_counter() - started
            pipe.send((seconds / max(n, LEAST), peak_mb()))


def main() -> None:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        images = load("mnist", "train").x
        pipes = []
        for _, n, how in KINDS:
            path = str(Path(folder) / f"{n}.npy")
            np.save(path, np.tile(images, (10, 1))[:n])
            pipe, theirs = context.Pipe()
            context.Process(target=serve, args=(n, how, path, theirs), daemon=True).start()
            # The first to compile leaves its code for the others, and is not disturbed by them.
            pipe.recv()
            pipes.append(pipe)
        found: list[list[tuple[float, float]]] = [[] for _ in KINDS]
        for number in range(1, ROUNDS + 1):
            for kind, pipe in zip(found, pipes, strict=True):
                pipe.send(True)
                kind.append(pipe.recv())
            print(f"round {number}: " + ", ".join(f"{1e6 * k[-1][0]:.2f} us" for k in found), flush=True)
        for pipe in pipes:
            pipe.send(False)
    print(results.write("The cost of a sample, by the number of rows", table(found)))


def table(found: list[list[tuple[float, float]]]) -> str:
    """The section, from (seconds a sample, MB) of every kind in every round."""
    lines = [
        "| | samples/s, median | cost of a sample beside 60,000 rows (range) | peak memory, MB |\n|---|---|---|---|\n"
    ]
    for (title, _, _), kind in zip(KINDS, found, strict=True):
        ratios = [s / base for (s, _), (base, _) in zip(kind, found[1], strict=True)]
        median = statistics.median(s for s, _ in kind)
        lines.append(
            f"| {title} | {1 / median:,.0f} | {statistics.median(ratios):.3f} ({min(ratios):.3f} to "
            f"{max(ratios):.3f}) | {kind[-1][1]:,.0f} |\n"
        )
    return (
        f"{results.circumstances('python benchmarks/rows.py')}; 784-400-20, batch 128, compiled; {ROUNDS} rounds, in "
        f"turn, of one epoch or of {LEAST:,} samples, the end of every epoch (snapshot, checks) included. 600,000 "
        "images are 449 MB; the mapped file had been read before, and its pages count as memory until the system takes "
        "them.\n\n" + "".join(lines)
    )


if __name__ == "__main__":
    main()
