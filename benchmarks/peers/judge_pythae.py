"""A VAE trained with pythae, judged by minamo.evidence beside pythae's own number.

Command:  MINAMO_DATA=folder PYTHONPATH=src .venv-peers/bin/python -m benchmarks.peers.judge_pythae    (a minute or two)

minamo sees two functions of it: log p(x, z), and its encoder as q(z|x). pythae's own number is `VAE.get_nll`, by
importance sampling, asked for 100 draws of each image (in pythae 0.1.2 it returns the mean log p itself, whatever its
name, and takes `batch_size` draws where fewer are asked for).
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal
from torch.nn.functional import binary_cross_entropy

from benchmarks.peers.judging import SETTINGS, data, report
from benchmarks.peers.pythae_trainer import PythaeTrainer
from minamo.evidence import Adapter

K = 100


def adapter(peer: PythaeTrainer, latent: int) -> Adapter:
    """What is known of its model, in the terms of pythae's own encoder and decoder."""
    model = peer.trainer.model

    def log_joint(x: Tensor, z: Tensor) -> Tensor:
        means = model.decoder(z)["reconstruction"]
        log_px_z = -binary_cross_entropy(means, x.expand_as(means), reduction="none").sum(-1)
        return log_px_z - 0.5 * (z.square().sum(-1) + latent * math.log(2 * math.pi))

    def posterior(x: Tensor) -> Distribution:
        found = model.encoder(x)
        return Independent(Normal(found.embedding, torch.exp(0.5 * found.log_covariance)), 1)

    def simulate(n: int) -> tuple[Tensor, Tensor]:
        z = torch.randn(n, latent)
        return z, torch.bernoulli(model.decoder(z)["reconstruction"])

    return Adapter(log_joint, posterior, simulate=simulate, widest=SETTINGS.width)


def main() -> None:
    train, test = data()
    peer = PythaeTrainer(SETTINGS, train, None)
    for _ in range(SETTINGS.extra["epochs"]):
        peer.epoch()
    peer.trainer.model.eval()
    with torch.no_grad():
        nll = peer.trainer.model.get_nll(test, n_samples=K, batch_size=K)
    report("pythae", adapter(peer, SETTINGS.latent), test, {f"VAE.get_nll, {K} draws": float(nll)})


if __name__ == "__main__":
    main()
