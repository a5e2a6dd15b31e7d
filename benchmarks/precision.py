"""What products with factors in bf16 cost in nats, beside float32: test ELBOs of converged models, three seeds.

Command:  MINAMO_DATA=folder python benchmarks/precision.py        (5 minutes on 2 cores)

784-200-20 on dynamically binarized MNIST, batch 500, 40 epochs, in the second half of which the learning rate goes down
a cosine to a hundredth; judged, as minamo judges, in float32.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import VAE, fast_cpu, load

SEEDS = (0, 1, 2)
OPTIONS: dict[str, Any] = {
    "latent_dim": 20,
    "hidden": (200,),
    "batch_size": 500,
    "binarize": "dynamic",
    "schedule": "cosine",
    "max_epochs": 40,
}


def elbo(seed: int, precision: str) -> tuple[float, int]:
    """Test ELBO of a converged model, nats per datum, and its epochs."""
    vae = VAE(**OPTIONS, compile="on", precision=precision, random_state=seed)
    for state in vae.train(vae.plan(load("mnist", "train"))):
        if "note" in state.record:
            raise SystemExit(state.record["note"])
    return vae.evidence(load("mnist", "test"), k=1, seed=0).elbo.value, vae.n_epochs_


def main() -> None:
    lines, differences = [], []
    with fast_cpu():
        for seed in SEEDS:
            (plain, n), (short, m) = elbo(seed, "float32"), elbo(seed, "bf16")
            differences.append(short - plain)
            lines.append(f"| {seed} | {plain:.3f} | {short:.3f} | {short - plain:+.3f} | {n}, {m} |")
            print(lines[-1], flush=True)
    mean, se = statistics.mean(differences), statistics.stdev(differences) / len(differences) ** 0.5
    text = (
        f"{results.circumstances('python benchmarks/precision.py')}; 784-200-20, dynamic MNIST, batch 500, 40 "
        "epochs, the rate going down to a hundredth in the second half; "
        "10,000 test images binarized once, the same noise for all.\n\n"
        "| seed | test ELBO, float32 | bf16 | difference | epochs |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\nWith bf16 the ELBO differs by {mean:+.3f} ± {se:.3f} nats (standard error over seeds)."
    )
    print(results.write("Precision of the products", text))


if __name__ == "__main__":
    main()
