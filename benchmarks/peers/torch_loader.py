"""PyTorch, the usual loop: DataLoader over a TensorDataset of floats, default Adam."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.protocol import Contender, Work, serve


class Vae(nn.Module):
    """The model, as tutorials write it."""

    def __init__(self, n_columns: int, width: int, latent: int):
        super().__init__()
        self.into, self.mu, self.log_var = (
            nn.Linear(n_columns, width),
            nn.Linear(width, latent),
            nn.Linear(width, latent),
        )
        self.out, self.last = nn.Linear(latent, width), nn.Linear(width, n_columns)

    def forward(self, x: Tensor) -> Tensor:
        """Return the negative ELBO, mean over the batch."""
        h = F.relu(self.into(x))
        mu, log_var = self.mu(h), self.log_var(h)
        std = torch.exp(0.5 * log_var)
        z = mu + std * torch.randn_like(std)
        logits = self.last(F.relu(self.out(z)))
        bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
        return (bce + kl) / len(x)


class TorchLoader(Contender):
    """One tensor of floats; the loader collates row by row."""

    def __init__(self, work: Work, x: np.ndarray, held: np.ndarray | None):
        torch.manual_seed(work.seed)
        self.binarize = work.binarize
        self.held = None if held is None else torch.from_numpy(held).float()
        self.loader = DataLoader(TensorDataset(torch.from_numpy(x).float() / 255), work.batch, shuffle=True)
        self.model = Vae(x.shape[1], work.width, work.latent)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=work.lr)

    def epoch(self) -> float:
        """Take a step for each batch of the loader."""
        total = 0.0
        for (x,) in self.loader:
            loss = self.model(torch.bernoulli(x) if self.binarize else x)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return -total / len(self.loader)

    @torch.no_grad()
    def validate(self) -> float:
        """All held-out rows at once."""
        return -self.model(self.held).item()


if __name__ == "__main__":
    serve(TorchLoader)
