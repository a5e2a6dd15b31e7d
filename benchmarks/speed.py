"""Training speed beside peers: samples/s, start-up, memory, and the matrix products alone, a bound for everyone.

Command:  MINAMO_DATA=folder python benchmarks/speed.py --peers-python PEERS/bin/python       (15 minutes on 2 cores)
          the same with --to-100                                                             (15 minutes)
          --works batch128,rows64: some works only; --epochs 5; --rows 6400: fewer rows, for a try. Only a run of all
          works on all rows is written to benchmarks/RESULTS.md and speed.png.
Needs:    benchmarks/peers/requirements.txt where --peers-python points. minamo runs in the Python that runs this.

Every contender is a process of its own (benchmarks/peers/), started while the others are idle. After a first epoch
each trains --epochs more, in turn and never two at once, so that a machine whose speed drifts slows all alike. Ratios
are taken round by round. Pyro and the DataLoader pipelines train on fewer rows, and minamo once more on as few beside
them: ratios, ELBOs and start-up are compared at equal work. In every round the matrix products of a step alone are
timed too, in float32 and, where the processor gains by it, with factors in bf16.

--to-100 is the other question: seconds from the shell command, imports and compiling included, to a validation -ELBO
of 100 nats on dynamically binarized MNIST, judged after every epoch; one contender after the other.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results

ROOT = Path(__file__).parents[1]
COMMAND = "python benchmarks/speed.py"
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
TARGET, HELD_OUT, LIMIT = -100.0, 10_000, 900.0
"""Validation ELBO, rows that judge it, and seconds after which a contender is given up."""
TO_TARGET = {
    "minamo": "minamo_fit",
    "JAX + optax": "jax_scan",
    "NumPyro": "numpyro_svi",
}
"""The fastest; the others reach it in the same epochs, each of them longer."""


@dataclass(frozen=True)
class Case:
    """One shape of model and batch."""

    title: str
    width: int
    batch: int
    latent: int = 20
    data: str = "mnist"
    rows: int = 60_000
    wide: bool = False
    """Only against WIDE, on equal rows."""

    @property
    def columns(self) -> int:
        """D."""
        return 784 if self.data == "mnist" else 64

    def work(self, rows: int) -> dict[str, Any]:
        """What the workers are told."""
        return {
            "width": self.width,
            "latent": self.latent,
            "batch": self.batch,
            "data": self.data,
            "rows": rows,
        }


CASES = {
    "batch128": Case("784-400-20, batch 128", 400, 128),
    "batch512": Case("784-400-20, batch 512", 400, 512),
    "batch2048": Case("784-400-20, batch 2048", 400, 2048),
    "width1600": Case("784-1600-20, batch 512", 1600, 512, rows=20_480, wide=True),
    "width6400": Case("784-6400-20, batch 2048", 6400, 2048, rows=16_384, wide=True),
    "rows64": Case("rows of 64: 64-64-8, batch 128", 64, 128, latent=8, data="rows64"),
    "reference": Case("784-200-20, batch 32", 200, 32),
}


class Worker:
    """A contender's process."""

    def __init__(self, python: str, module: str, work: dict[str, Any]):
        self.module = module
        # What torch.compile keeps from an earlier process would hide what a first run costs.
        self.cache = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.peers.{module}", json.dumps(work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
                "TORCHINDUCTOR_CACHE_DIR": self.cache.name,
            },
        )
        hello = self._answer()
        self.ready: float = hello["ready"]
        self.note: str = hello["note"]

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command, wait for what it gives."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Close its input and wait."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.cache.cleanup()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.module} has ended with code {self.process.wait()}: its own words are above")
        return json.loads(line)


@dataclass
class Entry:
    """A contender in a case, and what was measured."""

    label: str
    ready: float
    note: str
    first: float
    rows: int
    seconds: list[float] = field(default_factory=list)
    elbo: float = 0.0
    peak_mb: float = 0.0

    @property
    def rates(self) -> list[float]:
        """Samples/s in each round."""
        return [self.rows / s for s in self.seconds]


@dataclass
class Outcome:
    """What a case gave."""

    case: Case
    entries: list[Entry]
    bounds: dict[str, list[float]]
    """Precision -> samples/s of the products alone, in each round."""


class Products:
    """The matrix products of a training step: forward, for the weights, and back to every layer but the data."""

    def __init__(self, case: Case):
        b, d, h, k = case.batch, case.columns, case.width, case.latent
        self.batch = b
        x, hidden, e, z, g, o = (torch.randn(b, n) for n in (d, h, 2 * k, k, h, d))
        w1, w2, w3, w4 = torch.randn(h, d), torch.randn(2 * k, h), torch.randn(h, k), torch.randn(d, h)
        self.factors = [
            (x, w1.T),
            (hidden, w2.T),
            (z, w3.T),
            (g, w4.T),
            (o.T, g),
            (o, w4),
            (g.T, z),
            (g, w3),
            (e.T, hidden),
            (e, w2),
            (hidden.T, x),
        ]
        # Allocated once: the bound is about products, not about memory from the system.
        self.products = [a @ b for a, b in self.factors]

    def step(self) -> None:
        """All products, once."""
        for (a, b), product in zip(self.factors, self.products, strict=True):
            torch.mm(a, b, out=product)

    def rate(self, precision: str) -> float:
        """Samples/s."""
        with_precision(precision, self.step)
        return with_precision(precision, self._rate)

    def _rate(self) -> float:
        steps, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < BOUND_SECONDS or steps < 2:
            self.step()
            steps += 1
        return steps * self.batch / elapsed


def with_precision(precision: str, do: Callable[[], Any]) -> Any:
    """Do something with float32 products' factors rounded to bf16, if so asked."""
    backend: Any = torch.backends.mkldnn
    before = backend.matmul.fp32_precision
    backend.matmul.fp32_precision = "bf16" if precision == "bf16" else "none"
    try:
        return do()
    finally:
        backend.matmul.fp32_precision = before


def has_bf16() -> bool:
    """Whether products asked for in bf16 are so: processors without AMX take the word, and go on in float32."""
    a = torch.randn(512, 512)
    exact = a @ a
    try:
        off = with_precision("bf16", lambda: a @ a) - exact
    except (AttributeError, RuntimeError):
        return False
    return bool(off.abs().max() > 1e-4 * exact.abs().max())


def measure(case: Case, options: argparse.Namespace) -> Outcome:
    """Start all contenders of a case, train in turn."""
    rows = min(case.rows, options.rows)
    few = min(FEW, rows)
    minamo = {"minamo": {}, **({"minamo, float32": {"precision": "float32"}} if has_bf16() else {})}
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
        products = Products(case)
        bounds = {precision: [] for precision in (("float32", "bf16") if has_bf16() else ("float32",))}
        for n in range(1, options.epochs + 1):
            for worker, entry in zip(workers, entries, strict=True):
                answer = worker.ask("epoch")
                entry.seconds.append(answer["seconds"])
                entry.elbo = answer["elbo"]
                if not math.isfinite(entry.elbo):
                    raise SystemExit(f"{case.title}: {entry.label} has an ELBO of {entry.elbo}")
            for precision, rates in bounds.items():
                rates.append(products.rate(precision))
            say(f"{case.title}: round {n} of {options.epochs}")
        for worker, entry in zip(workers, entries, strict=True):
            entry.peak_mb = worker.ask("memory")["peak_mb"]
    return Outcome(case, entries, bounds)


def table(outcome: Outcome) -> str:
    """The section's part on one case."""
    lines = [
        "| | rows an epoch | samples/s, median (range) | minamo is faster, times | ELBO, last epoch "
        "| start-up, s (ready + first epoch) | peak memory, MB |\n|---|---|---|---|---|---|---|\n"
    ]
    base, apart = outcome.entries[0], 0.0
    for entry in outcome.entries:
        if entry.label == "minamo":
            base = entry
        apart = max(apart, abs(entry.elbo - base.elbo))
        ratio = spread([s / own for s, own in zip(entry.seconds, base.seconds, strict=True)], ".2f")
        lines.append(
            f"| {entry.label} | {entry.rows:,} | {spread(entry.rates, ',.0f')} | {'' if entry is base else ratio} "
            f"| {entry.elbo:.2f} | {entry.ready + entry.first:.1f} ({entry.ready:.1f} + {entry.first:.1f}) "
            f"| {entry.peak_mb:,.0f} |\n"
        )
    # Anything but one model on equal work would show here.
    notes = [f"ELBOs on equal rows lie within {apart:.2f} nats of minamo's."]
    for precision, rates in outcome.bounds.items():
        shares = []
        for entry in outcome.entries:
            if entry.rows == outcome.entries[0].rows and entry.label.startswith("minamo"):
                share = spread([a / b for a, b in zip(entry.rates, rates, strict=True)], ".2f")
                shares.append(f"{entry.label} reaches {share} of it")
        notes.append(f"Products alone in {precision}: {spread(rates, ',.0f')} samples/s; {'; '.join(shares)}.")
    notes += [f"{entry.label}: {entry.note}." for entry in outcome.entries[:2] if entry.note]
    return f"### {outcome.case.title}\n\n{''.join(lines)}\n" + "\n".join(notes) + "\n"


def spread(values: Iterable[float], form: str) -> str:
    """Median (smallest to largest)."""
    low, *_, high = ordered = sorted([*values] * 2)
    return f"{statistics.median(ordered):{form}} ({low:{form}} to {high:{form}})"


def caption(options: argparse.Namespace) -> str:
    """What holds for all tables."""
    return (
        f"{results.circumstances(COMMAND)}; {options.epochs} epochs of each after a first one, "
        "in turn, each contender in a process of its own. One model for all: ReLU, Bernoulli on logits and grey "
        "values, N(0, I), one draw, Adam 1e-3. Contenders on fewer rows an epoch are compared with minamo on as few, "
        "in speed, ELBO and start-up. Ratios are medians over rounds. ELBO: nats per datum, mean over the last epoch's "
        "training batches. Ready: from the start of the process, imports and data included; nothing compiled is kept "
        "from another process.\n"
    )


def draw(outcomes: list[Outcome], path: Path) -> None:
    """Bars of samples/s, a panel for each case, the float32 bound a line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    heights = [len(bars(o)) + 1.6 for o in outcomes]
    figure, axes = plt.subplots(
        len(outcomes), 1, figsize=(9, 0.25 * sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis, outcome in zip(axes[:, 0], outcomes, strict=True):
        entries = bars(outcome)[::-1]
        rates = [statistics.median(e.rates) for e in entries]
        colors = ["#1f5f8b" if e.label.startswith("minamo") else "#b8bec4" for e in entries]
        drawn = axis.barh([e.label for e in entries], rates, color=colors)
        axis.bar_label(drawn, [f"{r:,.0f}" for r in rates], padding=3, fontsize=9)
        bound = statistics.median(outcome.bounds["float32"])
        axis.axvline(bound, color="#c0392b", linewidth=1.2)
        where = axis.get_xaxis_transform()
        axis.text(
            bound, 1, "float32 products alone", color="#c0392b", fontsize=9, ha="right", va="bottom", transform=where
        )
        axis.set_xlim(0, 1.13 * max(bound, *rates))
        axis.set_title(f"{outcome.case.title}: samples/s", fontsize=10, loc="left")
        axis.tick_params(labelsize=9)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def bars(outcome: Outcome) -> list[Entry]:
    """The entries that are drawn: minamo on fewer rows is there for the table."""
    seen: set[str] = set()
    return [e for e in outcome.entries if not (e.label in seen or seen.add(e.label))]


def race(options: argparse.Namespace) -> str:
    """Seconds from the shell command to TARGET, as a table."""
    work = {"binarize": True, "validation": HELD_OUT, "rows": options.rows}
    lines = [
        "| | seconds to 100 nats | epochs | until ready, s | training an epoch, s, median | -ELBO then |\n"
        "|---|---|---|---|---|---|\n"
    ]
    for label, module in TO_TARGET.items():
        if not (ROOT / "benchmarks" / "peers" / f"{module}.py").exists():
            say(f"{label}: no benchmarks/peers/{module}.py, left out")
            continue
        started = time.perf_counter()
        worker = Worker(sys.executable if module.startswith("minamo") else options.peers_python, module, work)
        epochs: list[float] = []
        bound, seconds = -float("inf"), 0.0
        while bound < TARGET and seconds < LIMIT and len(epochs) < options.epochs_at_most:
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
        f"{results.circumstances(COMMAND + ' --to-100')}. MNIST, binarized afresh at each "
        f"step; the last {HELD_OUT:,} training rows, binarized once, judge, after every epoch. The peers: 784-400-20, "
        "ReLU, as in their examples; minamo: what `minamo fit` takes by itself, 784-400-400-32, SiLU, judged by the "
        "average of its weights. Batch 128, Adam 1e-3 for all, one seed; seconds from the start of the process, "
        "judging included, nothing compiled before.\n\n" + "".join(lines)
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers-python", default=sys.executable, help="Python that has the peers")
    parser.add_argument("--works", help=f"some of {','.join(CASES)}")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=60_000, help="at most so many rows an epoch")
    parser.add_argument("--to-100", action="store_true")
    parser.add_argument("--epochs-at-most", type=int, default=1000, help="of --to-100")
    options = parser.parse_args()
    whole = options.works is None and options.rows >= 60_000 and options.epochs_at_most >= 1000
    if options.to_100:
        title = "Seconds to a validation -ELBO of 100 nats"
        text = race(options)
    else:
        title = "Training speed beside peers"
        names = list(CASES) if options.works is None else options.works.split(",")
        outcomes = [measure(CASES[name], options) for name in names]
        text = caption(options) + "\n![Samples/s of each contender](speed.png)\n\n" + "\n".join(map(table, outcomes))
        if whole:
            draw(outcomes, PICTURE)
    print(results.write(title, text) if whole else text)


if __name__ == "__main__":
    main()
