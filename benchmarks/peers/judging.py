"""What the two examples of judging another library's model have in common: the data, the work, the report."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.protocol import Work
from minamo.evidence import Adapter, Annealing, Given, Measure, annealed, sandwich, weigh

SETTINGS = Work(width=200, latent=20, batch=128, binarize=True, rows=20_000, extra={"epochs": 3})
TEST_ROWS = 100
PATH = Annealing(temperatures=200, chains=8)


def data() -> tuple[np.ndarray, Tensor]:
    """Training rows in bytes, and some binarized test rows [N, 784]."""
    train, _ = SETTINGS.arrays()
    with np.load(Path(os.environ["MINAMO_DATA"]) / "mnist.npz") as archive:
        grey = archive["x_test"][:TEST_ROWS].reshape(TEST_ROWS, -1)
    bits = np.random.default_rng(0).random(grey.shape, np.float32) < grey / np.float32(255)
    return train, torch.from_numpy(bits.astype(np.float32))


def report(library: str, model: Adapter, test: Tensor, own: dict[str, float]) -> None:
    """Print what minamo finds of the model beside the library's own numbers, nats per datum."""
    weighed = weigh(model, Given(test), [1, 100, 1000])
    ais = annealed(model, Given(test), PATH).log_p
    between = sandwich(model, 100, PATH)
    rows = {
        f"minamo, iwae-{k}": Measure.mean_of(b, "nats") for k, b in zip((1, 100, 1000), weighed.bounds, strict=True)
    }
    rows["minamo, ais"] = Measure.mean_of(ais, "nats")
    rows["minamo, ais - iwae-1000"] = Measure.mean_of(ais - weighed.bounds[-1], "nats")
    rows["minamo, width of the sandwich"] = between.width
    print(f"{library}: {len(test)} test images, {SETTINGS.extra['epochs']} epochs of {SETTINGS.rows:,}")
    for name, number in own.items():
        print(f"  {library}, {name:<40} {number:.3f}")
    for name, measure in rows.items():
        print(f"  {name:<48} {measure}")
    print(f"  share of images with Pareto k above 0.7          {float((weighed.pareto_k > 0.7).double().mean()):.2f}")
    print(json.dumps({"library": library, "own": own, **{name: m.to_json() for name, m in rows.items()}}))
