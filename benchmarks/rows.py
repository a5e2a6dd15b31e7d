"""What a sample costs when the rows are few or many, resident or mapped from a file, and what memory they take.

Command:  MINAMO_DATA=folder python benchmarks/rows.py        (6 minutes on 2 cores; a temporary file of 470 MB)

784-400-20, Bernoulli, batch 128, compiled; MNIST's 60,000 images, a tenth of them, and ten copies. As many samples
of each in turn, every one in a process of its own. "Mapped, read before" is a file that the system still keeps in
memory; "mapped, from the disk" has its pages dropped before every epoch.
"""

from __future__ import annotations

import multiprocessing
import os
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
SAMPLES = 600_000
KINDS = [
    ("6,000 rows, resident", 6_000, "resident"),
    ("60,000 rows, resident", 60_000, "resident"),
    ("600,000 rows, resident", 600_000, "resident"),
    ("600,000 rows, mapped, read before", 600_000, "mapped"),
    ("600,000 rows, mapped, from the disk", 600_000, "dropped"),
]


def serve(n: int, how: str, path: str, pipe: Connection) -> None:
    """In a process of its own: train on SAMPLES samples when asked, and send back (seconds, peak memory in MB)."""
    from benchmarks.peers.minamo_train import model_of
    from benchmarks.peers.protocol import peak_mb

    x = np.load(path, mmap_mode=None if how == "resident" else "r")[:n]
    with fast_cpu():
        settings = Settings(128, 1e-3, 10**9, None, 0, Engine(compiled=True))
        states = train(model_of(784, 400, 20, 0), Rows(x, Prepare(divisor=255.0)), None, settings)
        next(states)
        while pipe.recv():
            if how == "dropped":
                with open(path, "rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            started = time.perf_counter()
            for _ in range(SAMPLES // n):
                next(states)
            seconds = time.perf_counter() - started
            pipe.send((seconds, peak_mb()))


def main() -> None:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "x.npy")
        np.save(path, np.tile(load("mnist", "train").x, (10, 1)))
        pipes = []
        for _, n, how in KINDS:
            pipe, theirs = context.Pipe()
            context.Process(target=serve, args=(n, how, path, theirs), daemon=True).start()
            # The first to compile leaves its code for the others, and is not disturbed by them.
            pipe.send(True)
            pipe.recv()
            pipes.append(pipe)
        found: list[list[tuple[float, float]]] = [[] for _ in KINDS]
        for number in range(1, ROUNDS + 1):
            for kind, pipe in zip(found, pipes, strict=True):
                pipe.send(True)
                kind.append(pipe.recv())
            print(f"round {number}: " + ", ".join(f"{k[-1][0]:.2f} s" for k in found), flush=True)
    print(results.write("The cost of a sample, by the number of rows", table(found)))


def table(found: list[list[tuple[float, float]]]) -> str:
    """The section, from (seconds, MB) of every kind in every round."""
    lines = [
        "| | samples/s, median | cost of a sample beside 60,000 rows (range) | peak memory, MB |\n|---|---|---|---|\n"
    ]
    for (title, _, _), kind in zip(KINDS, found, strict=True):
        ratios = [s / base for (s, _), (base, _) in zip(kind, found[1], strict=True)]
        median = statistics.median(s for s, _ in kind)
        lines.append(
            f"| {title} | {SAMPLES / median:,.0f} | {statistics.median(ratios):.3f} ({min(ratios):.3f} to "
            f"{max(ratios):.3f}) | {kind[-1][1]:,.0f} |\n"
        )
    return (
        f"{results.circumstances('python benchmarks/rows.py')}; 784-400-20, batch 128, compiled; {ROUNDS} rounds of "
        f"{SAMPLES:,} samples of each, in turn, the end of every epoch (snapshot, checks) included. 600,000 images are "
        "449 MB.\n\n" + "".join(lines)
    )


if __name__ == "__main__":
    main()
