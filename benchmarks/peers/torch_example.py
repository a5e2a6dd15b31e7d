"""PyTorch's examples/vae: torchvision's MNIST dataset item by item through ToTensor, DataLoader, Adam, loss.item().

torchvision does not import beside the CPU build of torch, so that what its dataset and transform do for an item is
written out, as in benchmarks/step7.py. The loss is that of all contenders, on logits; the example's own takes a
sigmoid first, and sums over the batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.peers.protocol import Contender, Work, serve
from benchmarks.peers.torch_loader import Vae


class PerSample(Dataset):
    """Each item is a PIL image made from an array, turned into a float tensor [1, H, W]."""

    def __init__(self, x: np.ndarray):
        self.side = math.isqrt(x.shape[1])
        self.images = x.reshape(len(x), self.side, self.side)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images[i], mode="L")
        pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
        pixels = pixels.view(self.side, self.side, 1).permute(2, 0, 1).contiguous()
        return pixels.to(torch.get_default_dtype()).div(255), 0


class TorchExample(Contender):
    """The example's loop."""

    def __init__(self, work: Work, x: np.ndarray, held: np.ndarray | None):
        torch.manual_seed(work.seed)
        self.binarize = work.binarize
        self.loader = DataLoader(PerSample(x), work.batch, shuffle=True)
        self.model = Vae(x.shape[1], work.width, work.latent)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=work.lr)

    def epoch(self) -> float:
        """Train as the example does, loss.item() before the step."""
        self.model.train()
        total = 0.0
        for images, _ in self.loader:
            x = images.view(len(images), -1)
            self.optimizer.zero_grad()
            loss = self.model(torch.bernoulli(x) if self.binarize else x)
            loss.backward()
            total += loss.item()
            self.optimizer.step()
        return -total / len(self.loader)


if __name__ == "__main__":
    serve(TorchExample)
