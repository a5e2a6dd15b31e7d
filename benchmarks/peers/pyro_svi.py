"""Pyro: SVI with Trace_ELBO as in its VAE tutorial, on a resident tensor, minibatches by index.

Trace_ELBO takes the KL at the draw of z, not in closed form: the same expectation. It sums over the batch where others
take the mean; Adam does not mind.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import numpy as np
import pyro
import torch
from pyro import distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers.protocol import Contender, Work, serve


class Encoder(nn.Module):
    """x -> mean and standard deviation of z."""

    def __init__(self, n_columns: int, width: int, latent: int):
        super().__init__()
        self.into, self.mu, self.log_var = (
            nn.Linear(n_columns, width),
            nn.Linear(width, latent),
            nn.Linear(width, latent),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, D] -> 2 x [B, L]."""
        h = F.relu(self.into(x))
        return self.mu(h), torch.exp(0.5 * self.log_var(h))


class PyroSvi(Contender):
    """The tutorial's model and guide."""

    def __init__(self, work: Work, x: np.ndarray, held: np.ndarray | None):
        pyro.set_rng_seed(work.seed)
        # Checks of every argument at every step are for development.
        pyro.enable_validation(False)
        self.work = work
        self.x = torch.from_numpy(x)
        columns = x.shape[1]
        self.encoder = Encoder(columns, work.width, work.latent)
        self.decoder = nn.Sequential(nn.Linear(work.latent, work.width), nn.ReLU(), nn.Linear(work.width, columns))
        self.svi = SVI(self.model, self.guide, Adam({"lr": work.lr}), loss=Trace_ELBO())

    def model(self, x: Tensor) -> None:
        """p(z), p(x|z)."""
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            zeros = x.new_zeros(len(x), self.work.latent)
            z = pyro.sample("z", dist.Normal(zeros, torch.ones_like(zeros)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z), validate_args=False).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        """q(z|x)."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", len(x)):
            mu, std = self.encoder(x)
            pyro.sample("z", dist.Normal(mu, std).to_event(1))

    def epoch(self) -> float:
        """Take svi.step for each batch."""
        total = 0.0
        for index in torch.randperm(len(self.x)).split(self.work.batch):
            x = self.x[index].float() / 255
            total += self.svi.step(torch.bernoulli(x) if self.work.binarize else x)
        return -total / len(self.x)


if __name__ == "__main__":
    serve(PyroSvi)
