"""Training speed beside peers: samples/s, start-up, memory, and the matrix products alone, a bound for everyone.

Command:  MINAMO_DATA=folder python benchmarks/speed.py --peers-python PEERS/bin/python       (15 minutes on 2 cores)
          --works batch128,rows64: some works only; --epochs 5; --rows 6400: fewer rows, for a try. Only a run of all
          works on all rows is written to benchmarks/RESULTS.md and speed.png.
Needs:    benchmarks/peers/requirements.txt where --peers-python points. minamo runs in the Python that runs this.

Every contender is a process of its own (benchmarks/peers/), started while the others are idle. After a first epoch
each trains --epochs more, in turn and never two at once, so that a machine whose speed drifts slows all alike. Ratios
are taken round by round. Pyro and the DataLoader pipelines train on fewer rows, and minamo once more on as few beside
them: ratios, ELBOs and start-up are compared at equal work. In every round the matrix products of a step alone are
timed too, in float32 and with the large ones in bf16.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from benchmarks.contenders import Worker, say
from benchmarks.speed_table import Case, Entry, Outcome, caption, draw, table
from minamo.training.precision import LEAST

PICTURE = Path(__file__).parent / "speed.png"
FAST = {"JAX + optax": "jax_scan", "NumPyro": "numpyro_svi"}
SLOW = {
    "PyTorch, TensorDataset": "torch_loader",
    "Pyro": "pyro_svi",
    "pythae": "pythae_trainer",
    "PyTorch, examples/vae": "torch_example",
}
WIDE = {"JAX + optax": "jax_scan", "PyTorch, TensorDataset": "torch_loader"}
FEW = 12_800
"""Rows for SLOW."""
BOUND_SECONDS = 0.5


CASES = {
    "batch128": Case("784-400-20, batch 128", 400, 128),
    "batch512": Case("784-400-20, batch 512", 400, 512),
    "batch2048": Case("784-400-20, batch 2048", 400, 2048),
    "width1600": Case("784-1600-20, batch 512", 1600, 512, rows=20_480, wide=True),
    "width6400": Case("784-6400-20, batch 2048", 6400, 2048, rows=16_384, wide=True),
    "rows64": Case("rows of 64: 64-64-8, batch 128", 64, 128, latent=8, data="rows64"),
    "reference": Case("784-200-20, batch 32", 200, 32),
}


class Products:
    """The matrix products of a training step: forward, for the weights, and back to every layer but the data.

    Args:
        case: gives the sizes.
        precision: "float32", or "bf16" for those that minamo would take in bf16.
    """

    def __init__(self, case: Case, precision: str):
        b, d, h, k = case.batch, case.columns, case.width, case.latent
        self.batch = b
        x, hidden, e, z, g, o = (torch.randn(b, n) for n in (d, h, 2 * k, k, h, d))
        w1, w2, w3, w4 = torch.randn(h, d), torch.randn(2 * k, h), torch.randn(h, k), torch.randn(d, h)
        forward = [(x, w1.T), (hidden, w2.T), (z, w3.T), (g, w4.T)]
        backward = [(o.T, g), (o, w4), (g.T, z), (g, w3), (e.T, hidden), (e, w2), (hidden.T, x)]
        self.factors = forward + backward
        if precision == "bf16":
            small = [min(*a.shape, *b.shape) < LEAST for a, b in self.factors]
            pairs = zip(small, self.factors, strict=True)
            self.factors = [(a, b) if keep else (a.bfloat16(), b.bfloat16()) for keep, (a, b) in pairs]
        # Allocated once: the bound is about products, not about memory from the system.
        self.products = [a @ b for a, b in self.factors]

    def rate(self) -> float:
        """Samples/s."""
        self._step()
        steps, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < BOUND_SECONDS or steps < 2:
            self._step()
            steps += 1
        return steps * self.batch / elapsed

    def _step(self) -> None:
        for (a, b), product in zip(self.factors, self.products, strict=True):
            torch.mm(a, b, out=product)


def measure(case: Case, options: argparse.Namespace) -> Outcome:
    """Start all contenders of a case, train in turn."""
    rows = min(case.rows, options.rows)
    few = min(FEW, rows)
    bounds = {precision: Products(case, precision) for precision in ("float32", "bf16")}
    rates: dict[str, list[float]] = {precision: [] for precision in bounds}
    # Where "auto" may take bf16, float32 is asked for beside it.
    both = bounds["bf16"].rate() > 1.1 * bounds["float32"].rate()
    minamo = {"minamo": {}, **({"minamo, float32": {"precision": "float32"}} if both else {})}
    # (label, module, rows, settings), in the order of the table: each group of equal rows begins with minamo.
    plan = [(label, "minamo_train", rows, more) for label, more in minamo.items()]
    plan += [(label, module, rows, {}) for label, module in (WIDE if case.wide else FAST).items()]
    if not case.wide:
        if few < rows:
            plan.append(("minamo", "minamo_train", few, {}))
        plan += [(label, module, few, {}) for label, module in SLOW.items()]
    with ExitStack() as stack:
        workers, entries = [], []
        for label, module, n, more in plan:
            python = sys.executable if module.startswith("minamo") else options.peers_python
            worker = Worker(python, module, {**case.work(n), **more})
            stack.callback(worker.end)
            first = worker.ask("epoch")
            workers.append(worker)
            entries.append(Entry(label, worker.ready, worker.note, first["seconds"], first["rows"]))
            say(f"{case.title}: {label}, ready {worker.ready:.1f} s, first epoch {first['seconds']:.2f} s")
        for n in range(1, options.epochs + 1):
            for worker, entry in zip(workers, entries, strict=True):
                answer = worker.ask("epoch")
                entry.seconds.append(answer["seconds"])
                entry.elbo = answer["elbo"]
                if not math.isfinite(entry.elbo):
                    raise SystemExit(f"{case.title}: {entry.label} has an ELBO of {entry.elbo}")
            for precision, products in bounds.items():
                rates[precision].append(products.rate())
            say(f"{case.title}: round {n} of {options.epochs}")
        for worker, entry in zip(workers, entries, strict=True):
            entry.peak_mb = worker.ask("memory")["peak_mb"]
    return Outcome(case, entries, rates)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers-python", default=sys.executable, help="Python that has the peers")
    parser.add_argument("--works", help=f"some of {','.join(CASES)}")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--rows", type=int, default=60_000, help="at most so many rows an epoch")
    options = parser.parse_args()
    names = list(CASES) if options.works is None else options.works.split(",")
    outcomes = [measure(CASES[name], options) for name in names]
    text = caption(options.epochs) + "\n![Samples/s of each contender](speed.png)\n\n" + "\n".join(map(table, outcomes))
    if options.works is None and options.rows >= 60_000:
        draw(outcomes, PICTURE)
        text = results.write("Training speed beside peers", text)
    print(text)


if __name__ == "__main__":
    main()
