"""A VAE trained with Pyro, judged by minamo.evidence beside Pyro's own numbers.

Command:  MINAMO_DATA=folder PYTHONPATH=src .venv-peers/bin/python -m benchmarks.peers.judge_pyro      (a minute or two)

minamo sees two functions of it: log p(x, z), and its guide q(z|x). Pyro's own numbers are those that it has a loss for:
Trace_ELBO, and RenyiELBO with alpha = 0, which is the IWAE bound.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import math

import torch
from pyro.infer import RenyiELBO, Trace_ELBO
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.peers.judging import SETTINGS, data, report
from benchmarks.peers.pyro_svi import PyroSvi
from minamo.evidence import Adapter

K = 100


def adapter(peer: PyroSvi, latent: int) -> Adapter:
    """What is known of its model, in the terms of Pyro's own model and guide."""

    def log_joint(x: Tensor, z: Tensor) -> Tensor:
        logits = peer.decoder(z)
        log_px_z = -binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        return log_px_z - 0.5 * (z.square().sum(-1) + latent * math.log(2 * math.pi))

    def posterior(x: Tensor) -> Distribution:
        return Independent(Normal(*peer.encoder(x)), 1)

    def simulate(n: int) -> tuple[Tensor, Tensor]:
        z = torch.randn(n, latent)
        return z, torch.bernoulli(peer.decoder(z).sigmoid())

    return Adapter(log_joint, posterior, simulate=simulate, widest=SETTINGS.width)


def main() -> None:
    train, test = data()
    peer = PyroSvi(SETTINGS, train, None)
    for _ in range(SETTINGS.extra["epochs"]):
        peer.epoch()
    own = {
        f"Trace_ELBO, {K} draws": Trace_ELBO(num_particles=K),
        f"RenyiELBO(alpha=0), {K} draws": RenyiELBO(alpha=0, num_particles=K, vectorize_particles=True),
    }
    # Row by row where draws are vectorized: its bound is a log of a mean over whole batches otherwise.
    numbers = {}
    for name, loss in own.items():
        rows = test.split(1) if "Renyi" in name else [test]
        numbers[name] = -sum(loss.loss(peer.model, peer.guide, x) for x in rows) / sum(len(x) for x in rows)
    report("Pyro", adapter(peer, SETTINGS.latent), test, numbers)


if __name__ == "__main__":
    main()
