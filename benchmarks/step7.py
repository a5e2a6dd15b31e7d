"""recipes/step7.py beside a faithful copy of the pipeline it repeats: one image at a time through a transform.

Command:  MINAMO_DATA=folder python benchmarks/step7.py        (or make bench)

Epochs alternate between the two, each in a process of its own, so that a machine whose speed drifts slows both; medians
and ranges of the epochs' ratios are printed and kept in benchmarks/RESULTS.md. Both losses are
printed, to show that the work is the same.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import results
from minamo import fast_cpu, load
from recipes.step7 import LATENTS, PIXELS, WIDTH, losses

EPOCHS = 5
TITLE = "The reference script of step 7: 784-200-20, batch 32, 60,000 rows"


class PerSample(Dataset):
    """Each item is a PIL image made from an array, turned into a float tensor, then flattened."""

    def __init__(self, images: np.ndarray):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        image = Image.fromarray(self.images[i], mode="L")
        pixels = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(28, 28, 1).permute(2, 0, 1).contiguous()
        return torch.flatten(pixels.to(torch.get_default_dtype()).div(255))


class ReferenceVae(nn.Module):
    """The script's model, with its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.mu, self.log_var = (
            nn.Linear(PIXELS, WIDTH),
            nn.Linear(WIDTH, LATENTS),
            nn.Linear(WIDTH, LATENTS),
        )
        self.out, self.last = nn.Linear(LATENTS, WIDTH), nn.Linear(WIDTH, PIXELS)

    def loss(self, x: Tensor) -> Tensor:
        """Twice the negative ELBO without its constant."""
        h = torch.relu(self.into(x))
        mu, log_var = self.mu(h), self.log_var(h)
        sigma = torch.exp(0.5 * log_var)
        z = mu + torch.randn_like(sigma) * sigma
        x_hat = torch.sigmoid(self.last(torch.relu(self.out(z))))
        squared = nn.functional.mse_loss(x_hat, x, reduction="sum")
        return (squared - torch.sum(1 + torch.log(sigma**2) - mu**2 - sigma**2)) / len(x)


def reference(images: np.ndarray) -> Iterator[float]:
    """Train as the script does, yielding the running mean of the loss after every epoch."""
    torch.manual_seed(0)
    model = ReferenceVae()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    loader = DataLoader(PerSample(images), batch_size=32, shuffle=True)
    while True:
        total, count = 0.0, 0
        for x in loader:
            optimizer.zero_grad()
            loss = model.loss(x)
            loss.backward()
            optimizer.step()
            total, count = total + loss.item(), count + 1
        yield total / count


def ours(images: np.ndarray) -> Iterator[float]:
    """The recipe, as it runs from its own command; its length decides whether compiling repays itself."""
    with fast_cpu():
        for loss, _ in losses():
            yield loss


def serve(name: str, pipe: Connection) -> None:
    """In a process of its own: train an epoch whenever asked, and send back (seconds, loss)."""
    images = load("mnist", "train").x.reshape(-1, 28, 28)
    run = {"minamo": ours, "per-sample": reference}[name](images)
    while pipe.recv():
        started = time.perf_counter()
        loss = next(run)
        pipe.send((time.perf_counter() - started, loss))


def main() -> None:
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for name in ("minamo", "per-sample"):
        pipes[name], theirs = context.Pipe()
        context.Process(target=serve, args=(name, theirs), daemon=True).start()
    rows = []
    for epoch in range(1, EPOCHS + 1):
        found = []
        for pipe in pipes.values():
            pipe.send(True)
            found.append(pipe.recv())
        (a, loss_a), (b, loss_b) = found
        rows.append((a, b, loss_a, loss_b))
        print(
            f"epoch {epoch}: minamo {a:.2f} s, loss {loss_a:.2f}; per-sample {b:.2f} s, loss {loss_b:.2f}", flush=True
        )
    for pipe in pipes.values():
        pipe.send(False)
    print(results.write(TITLE, table(rows)))


def table(rows: list[tuple[float, float, float, float]]) -> str:
    """The section of results, from (seconds, seconds, loss, loss) of minamo and of the copy, an epoch each."""
    median = statistics.median
    lines = []
    for name, seconds, loss in (
        ("minamo, resident bytes", [r[0] for r in rows], rows[-1][2]),
        ("per-sample pipeline", [r[1] for r in rows], rows[-1][3]),
    ):
        spread = f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        lines.append(f"| {name} | {spread} | {60000 / median(seconds):,.0f} | {loss:.2f} |\n")
    ratios = [b / a for a, b, _, _ in rows]
    return (
        f"{results.circumstances()}; {len(rows)} epochs of each, in turn.\n\n"
        "| | seconds an epoch, median (range) | samples/s | loss after the last epoch |\n|---|---|---|---|\n"
        + "".join(lines)
        + f"\nminamo is {median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f} over the pairs).\n"
    )


if __name__ == "__main__":
    main()
