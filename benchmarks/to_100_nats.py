"""Seconds from the shell command, imports and compiling included, to a validation -ELBO of 100 nats.

Command:  MINAMO_DATA=folder python benchmarks/to_100_nats.py --peers-python PEERS/bin/python    (3 minutes on 2 cores)
Needs:    as benchmarks/speed.py.

Dynamically binarized MNIST, judged after every epoch; one contender after the other.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from benchmarks.contenders import Worker, say

COMMAND = "python benchmarks/to_100_nats.py"
TARGET, HELD_OUT, LIMIT = -100.0, 10_000, 900.0
"""Validation ELBO, rows that judge it, and seconds after which a contender is given up."""
CONTENDERS = {"minamo": "minamo_fit", "JAX + optax": "jax_scan", "NumPyro": "numpyro_svi"}
"""The fastest; the others reach it in the same epochs, each of them longer."""


def race(peers_python: str) -> str:
    """Seconds from the shell command to TARGET, as a table."""
    work = {"binarize": True, "validation": HELD_OUT, "rows": 60_000}
    lines = [
        "| | seconds to 100 nats | epochs | until ready, s | training an epoch, s, median | -ELBO then |\n"
        "|---|---|---|---|---|---|\n"
    ]
    for label, module in CONTENDERS.items():
        started = time.perf_counter()
        worker = Worker(sys.executable if module.startswith("minamo") else peers_python, module, work)
        epochs: list[float] = []
        bound, seconds = -float("inf"), 0.0
        while bound < TARGET and seconds < LIMIT:
            epochs.append(worker.ask("epoch")["seconds"])
            bound = worker.ask("validate")["validation_elbo"]
            seconds = time.perf_counter() - started
            say(f"{label}: epoch {len(epochs)}, {seconds:.1f} s, validation -ELBO {-bound:.2f}")
        worker.end()
        reached = f"{seconds:.1f}" if bound >= TARGET else f"not in {seconds:.0f}"
        lines.append(
            f"| {label} | {reached} | {len(epochs)} | {worker.ready:.1f} | {statistics.median(epochs):.2f} "
            f"| {-bound:.2f} |\n"
        )
    return (
        f"{results.circumstances(COMMAND)}. MNIST, binarized afresh at each "
        f"step; the last {HELD_OUT:,} training rows, binarized once, judge, after every epoch. The peers: 784-400-20, "
        "ReLU, as in their examples; minamo: what `minamo fit` takes by itself, 784-400-400-32, SiLU, judged by the "
        "average of its weights. Batch 128, Adam 1e-3 for all, one seed; seconds from the start of the process, "
        "judging included, nothing compiled before.\n\n" + "".join(lines)
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers-python", default=sys.executable, help="Python that has the peers")
    print(results.write("Seconds to a validation -ELBO of 100 nats", race(parser.parse_args().peers_python)))


if __name__ == "__main__":
    main()
