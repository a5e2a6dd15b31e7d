"""What log p of a decoder is worth: the sandwich on simulated images, and annealing beside IWAE-5000 on real ones.

Command:  MINAMO_DATA=folder python benchmarks/evidence.py [--simulated 1000] [--real 200]

A 784-200-200-50 VAE on dynamically binarized MNIST is trained for 20 epochs; then 1,000 images are simulated from it,
and their mean log p bounded from both sides. Wu et al. (2017) report gaps of 0.6 to 1.5 nats for decoders of this kind,
with 10,000 temperatures from the prior.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import VAE, Measure, fast_cpu, load
from minamo.evidence import Annealing, annealed, sandwich, weigh

OPTIONS: dict[str, Any] = {
    "latent_dim": 50,
    "hidden": (200, 200),
    "batch_size": 128,
    "binarize": "dynamic",
    "patience": None,
}
K = 5000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--simulated", type=int, default=1000)
    parser.add_argument("--real", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--temperatures", type=int, default=Annealing().temperatures)
    parser.add_argument("--chains", type=int, default=Annealing().chains)
    parser.add_argument("--leapfrogs", type=int, default=Annealing().leapfrogs)
    parser.add_argument("--widen", type=float, default=Annealing().widen)
    parser.add_argument("--start", default=Annealing().start)
    parser.add_argument("--model", type=Path, help="a model file: read if it is there, else written")
    asked = parser.parse_args()
    path = Annealing(asked.temperatures, asked.chains, asked.leapfrogs, asked.start, asked.widen)
    with fast_cpu():
        vae = fitted(asked.epochs, asked.model)
        lines = [f"{path}; sandwich:", *bounded(vae, asked.simulated, path), *real(vae, asked.real, path)]
    print(results.write("Evidence: the sandwich", results.circumstances() + ".\n\n" + "\n".join(lines)))


def fitted(epochs: int, model: Path | None) -> VAE:
    if model is not None and model.exists():
        return VAE.load(model)
    vae = VAE(**OPTIONS, max_epochs=epochs).fit(load("mnist", "train"))
    if model is not None:
        vae.save(model)
    return vae


def bounded(vae: VAE, n: int, path: Annealing) -> list[str]:
    """Both bounds, and the seconds they took."""
    started = time.perf_counter()
    found = sandwich(vae.model_, n, path)
    seconds = time.perf_counter() - started
    return [
        f"- {n} simulated images: {found.lower} <= log p <= {found.upper}, width {found.width} nats, {seconds:.0f} s",
        f"- effective chains {found.effective}, acceptance {found.acceptance}",
    ]


def real(vae: VAE, n: int, path: Annealing) -> list[str]:
    """Annealing beside IWAE-5000 on test images."""
    rows = vae.rows(load("mnist", "test")).spread(n)
    started = time.perf_counter()
    ais = annealed(vae.model_, rows, path)
    seconds = time.perf_counter() - started
    weighed = weigh(vae.model_, rows, [K])
    gap = Measure.mean_of(ais.log_p - weighed.bounds[0], "nats")
    unreliable = float((weighed.pareto_k > 0.7).double().mean())
    return [
        f"- {n} test images: AIS {Measure.mean_of(ais.log_p, 'nats')} in {seconds:.0f} s, IWAE-{K} "
        f"{Measure.mean_of(weighed.bounds[0], 'nats')}, AIS - IWAE {gap}; Pareto k above 0.7 for {unreliable:.0%}",
    ]


if __name__ == "__main__":
    main()
