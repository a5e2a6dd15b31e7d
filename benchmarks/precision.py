"""What products with factors in bf16 cost in nats, beside float32: test ELBOs of converged models, three seeds.

Command:  MINAMO_DATA=folder python benchmarks/precision.py        (4 minutes on 2 cores)

784-100-20 on dynamically binarized MNIST, batch 1000, until the validation ELBO has stopped improving. So that any
processor can tell, the factors of every product, forward and backward, are rounded to bf16 and multiplied in float32:
that is what `precision="bf16"` asks of processors that do so in one instruction.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import VAE, fast_cpu, load

SEEDS = (0, 1, 2)
OPTIONS: dict[str, Any] = {"latent_dim": 20, "hidden": (100,), "batch_size": 1000, "binarize": "dynamic"}


class _Rounded(torch.autograd.Function):
    """x W' with both factors rounded; so are those of the two products of its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return rounded(x) @ rounded(w).T

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor]:
        (x, w), g = ctx.saved_tensors, rounded(slopes[0])
        return g @ rounded(w), g.flatten(0, -2).T @ rounded(x).flatten(0, -2)


class RoundedLinear(nn.Linear):
    """nn.Linear with factors in bf16."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., n_in] -> [..., n_out]."""
        product: Any = _Rounded.apply(input, self.weight)
        return product + self.bias


def rounded(x: Tensor) -> Tensor:
    """Return x to eight bits of mantissa, in float32."""
    return x.bfloat16().float()


def elbo(seed: int, short: bool) -> tuple[float, int]:
    """Test ELBO of a converged model, nats per datum, and its epochs."""
    vae = VAE(**OPTIONS, compile="on", random_state=seed)
    plan = vae.plan(load("mnist", "train"))
    for module in plan.model.modules():
        if short and type(module) is nn.Linear:
            module.__class__ = RoundedLinear
    for state in vae.train(plan):
        if "note" in state.record:
            raise SystemExit(state.record["note"])
    # Judged as minamo judges: in float32, whatever it was trained with.
    trained: list[Any] = [m for m in plan.model.modules() if type(m) is RoundedLinear]
    for module in trained:
        module.__class__ = nn.Linear
    return vae.evidence(load("mnist", "test"), k=1, seed=0).elbo.value, vae.n_epochs_


def main() -> None:
    lines, differences = [], []
    with fast_cpu():
        for seed in SEEDS:
            (plain, n), (short, m) = elbo(seed, False), elbo(seed, True)
            differences.append(short - plain)
            lines.append(f"| {seed} | {plain:.3f} | {short:.3f} | {short - plain:+.3f} | {n}, {m} |")
            print(lines[-1], flush=True)
    mean, se = statistics.mean(differences), statistics.stdev(differences) / len(differences) ** 0.5
    text = (
        f"{results.circumstances('python benchmarks/precision.py')}; 784-100-20, dynamic MNIST, batch 1000, converged; "
        "10,000 test images binarized once, the same noise for all. bf16: factors rounded, products in float32.\n\n"
        "| seed | test ELBO, float32 | bf16 | difference | epochs |\n|---|---|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\nWith bf16 the ELBO differs by {mean:+.3f} ± {se:.3f} nats (standard error over seeds)."
    )
    print(results.write("Precision of the products", text))


if __name__ == "__main__":
    main()
