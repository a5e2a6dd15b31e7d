"""What the automatic choice of a step costs beside the best choice by hand, compiling included.

Command:  MINAMO_DATA=folder python benchmarks/choices.py        (8 minutes on 2 cores)

For every work, in two processes with nothing compiled before: seconds until the first epoch has ended, then epochs of
the eager and of the compiled step in turn. From these follows how long a run of a given length takes either way,
and what the choice that `compile="auto"` makes for it loses.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import LatentVariableModel, fast_cpu, load
from minamo.data import Prepare, Rows
from minamo.families import Diagonal
from minamo.likelihoods import Bernoulli
from minamo.nets import ConvDecoder, ConvEncoder, Convolution, Mlp
from minamo.posteriors import Amortized
from minamo.priors import StandardNormal
from minamo.randomness import drawing_from, stream
from minamo.training import Engine, Settings, choose_engine, compiled_sizes, train
from minamo.training.precision import LEAST, takes_shadow

ROUNDS = 5


def mlp(columns: int, hidden: tuple[int, ...], latents: int) -> LatentVariableModel:
    encoder, decoder = Mlp(columns, 2 * latents, hidden), Mlp(latents, columns, hidden[::-1])
    return LatentVariableModel(StandardNormal(latents), Bernoulli(decoder), Amortized(encoder, Diagonal(latents)))


def conv(channels: tuple[int, ...], residual: bool) -> LatentVariableModel:
    encoder = ConvEncoder((28, 28), 40, channels, residual=residual)
    decoder = ConvDecoder(20, (28, 28), 1, channels[::-1], residual=residual)
    return LatentVariableModel(StandardNormal(20), Bernoulli(decoder), Amortized(encoder, Diagonal(20)))


class Work(NamedTuple):
    """A model, its data, and a run."""

    build: Callable[[], LatentVariableModel]
    data: str
    batch: int
    rows: int
    """Rows in an epoch that is measured."""
    epochs: int
    """How long the run would be, in epochs of all rows."""


WORKS = {
    "digits, 64-400-400-32, batch 128, 700 epochs": Work(lambda: mlp(64, (400, 400), 32), "digits", 128, 1617, 700),
    "digits, 64-64-8, batch 128, 700 epochs": Work(lambda: mlp(64, (64,), 8), "digits", 128, 1617, 700),
    "MNIST, 784-200-20, batch 32, 3 epochs": Work(lambda: mlp(784, (200,), 20), "mnist", 32, 12_800, 3),
    "MNIST, 784-200-20, batch 32, 30 epochs": Work(lambda: mlp(784, (200,), 20), "mnist", 32, 12_800, 30),
    "MNIST, 784-400-400-32, batch 128, 50 epochs": Work(lambda: mlp(784, (400, 400), 32), "mnist", 128, 12_800, 50),
    "MNIST, 784-400-20, batch 2048, 50 epochs": Work(lambda: mlp(784, (400,), 20), "mnist", 2048, 20_480, 50),
    "MNIST, 784-1600-20, batch 512, 20 epochs": Work(lambda: mlp(784, (1600,), 20), "mnist", 512, 10_240, 20),
    "MNIST, convolutions 16-32, batch 128, 50 epochs": Work(lambda: conv((16, 32), False), "mnist", 128, 12_800, 50),
    "MNIST, residual convolutions 32-64, batch 128, 5 epochs": Work(
        lambda: conv((32, 64), True), "mnist", 128, 6_400, 5
    ),
}


ENGINES = {Engine(): "eager", Engine(True): "compiled", Engine(True, "bf16"): "compiled, bf16"}


def takes_bf16(work: Work) -> bool:
    """Whether any product of its step is large enough to be rewritten."""
    model = work.build()
    matrices = work.batch >= LEAST and any(takes_shadow(p) for p in model.parameters())
    return matrices or any(isinstance(m, Convolution) for m in model.modules())


def all_rows(work: Work) -> np.ndarray:
    if work.data == "mnist":
        return load("mnist", "train").x
    return (load("digits").x * 15).astype(np.uint8)


def serve(name: str, engine: Engine, folder: str, pipe: Connection) -> None:
    """In a process of its own: train an epoch whenever asked, and send back its seconds."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    work = WORKS[name]
    x = all_rows(work)[: work.rows]
    with fast_cpu():
        with drawing_from(stream(0, "weights")):
            model = work.build()
        settings = Settings(work.batch, 1e-3, 10**9, None, 0, engine=engine)
        states = train(model, Rows(x, Prepare(divisor=255.0)), None, settings)
        while pipe.recv():
            started = time.perf_counter()
            state = next(states)
            pipe.send((time.perf_counter() - started, state.record.get("note")))


def measure(name: str) -> str:
    """A row of the table."""
    work, context = WORKS[name], multiprocessing.get_context("spawn")
    seconds: dict[Engine, list[float]] = {}
    engines = [engine for engine in ENGINES if engine.precision == "float32" or takes_bf16(work)]
    with tempfile.TemporaryDirectory() as folder:
        pipes, processes = {}, []
        for engine in engines:
            pipes[engine], theirs = context.Pipe()
            processes.append(context.Process(target=serve, args=(name, engine, folder, theirs), daemon=True))
            processes[-1].start()
            pipes[engine].send(True)
            first, note = pipes[engine].recv()
            if note:
                raise SystemExit(f"{name}: {note}")
            seconds[engine] = [first]
        for _ in range(ROUNDS):
            for engine, pipe in pipes.items():
                pipe.send(True)
                seconds[engine].append(pipe.recv()[0])
        for pipe in pipes.values():
            pipe.send(False)
        for process in processes:
            process.join()
    n = len(all_rows(work)) if work.data == "mnist" else work.rows
    epochs = work.epochs * n / work.rows
    each = {kind: statistics.median(found[1:]) for kind, found in seconds.items()}
    total = {kind: found[0] - each[kind] + epochs * each[kind] for kind, found in seconds.items()}
    steps = work.epochs * -(-n // work.batch)
    graphs = len(compiled_sizes(len(all_rows(work)), work.batch))
    chosen, _ = choose_engine(work.build(), "auto", "auto", work.batch, steps, graphs)
    loss = total[chosen] / min(total.values()) - 1
    eager, compiled, short = ENGINES
    line = (
        f"| {name} | {each[eager] / each[compiled]:.2f} "
        f"| {f'{each[eager] / each[short]:.2f}' if short in each else ''} "
        f"| {seconds[compiled][0] - each[compiled]:.1f} | "
        + " | ".join(f"{total[engine]:.1f}" if engine in total else "" for engine in ENGINES)
        + f" | {ENGINES[chosen]} | {100 * loss:.0f} % |"
    )
    print(line, flush=True)
    return line


def main() -> None:
    with torch.random.fork_rng():
        lines = [measure(name) for name in WORKS]
    text = (
        f"{results.circumstances('python benchmarks/choices.py')}; {ROUNDS} epochs of each kind in turn, medians; "
        "nothing compiled before.\n\n"
        "| | a compiled step is faster, times | in bf16, times | compiling, s | whole run eager, s | compiled, s "
        "| in bf16, s | auto takes | and loses |\n|---|---|---|---|---|---|---|---|---|\n" + "\n".join(lines)
    )
    print(results.write("Automatic choices", text))


if __name__ == "__main__":
    main()
