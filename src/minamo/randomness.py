"""Random numbers that belong to an answer: named streams, and drawing from one of them.

torch.distributions draw from torch's global generator only. `drawing_from` lends them an explicit
generator for the length of a block and puts the global state back, so that minamo never seeds
globally and every number can be drawn again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def stream(seed: int, *name: object, device: str | torch.device = "cpu") -> torch.Generator:
    """Return the generator of the stream called `name` under `seed`.

    Streams of different names are independent for all practical purposes, so a part that draws more
    numbers does not shift those of another: `stream(0, "epoch", 7)` needs no record of epochs 1 to 6.

    >>> a, b = stream(0, "epoch", 7), stream(0, "epoch", 7)
    >>> bool((torch.rand(3, generator=a) == torch.rand(3, generator=b)).all())
    True
    """
    digest = hashlib.blake2b(repr((int(seed), *name)).encode(), digest_size=8).digest()
    generator = torch.Generator(device=device)
    generator.manual_seed(int.from_bytes(digest, "little") >> 1)
    return generator


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let every torch draw inside the block come from `generator`; the global state is untouched."""
    device = generator.device
    on_gpu = device.type == "cuda"
    shared = torch.cuda.default_generators[device.index or 0] if on_gpu else torch.default_generator
    kept = shared.get_state()
    shared.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(shared.get_state())
        shared.set_state(kept)


class RowNoise:
    """Standard normal numbers that belong to rows: those of a row depend on its number, not on the rows beside it.

    Every call goes on in each row's own stream, so that the numbers of a row are the same however the rows are cut
    into batches. They are drawn in float32, whatever they are used in: float32 and float64 see the same ones.

    Args:
        seed, name: of the streams.
        rows: the numbers of the rows.

    >>> together, alone = RowNoise(0, "law", range(5)), RowNoise(0, "law", [3])
    >>> bool((together(7, 4)[:, 3] == alone(7, 4)[:, 0]).all())
    True
    """

    def __init__(self, seed: int, name: str, rows: Iterable[int]):
        self.generators = [stream(seed, name, int(row)) for row in rows]

    def __call__(self, *shape: int) -> Tensor:
        """Return [*shape[:-1], B, shape[-1]], the next numbers of each of the B rows."""
        drawn = torch.empty(len(self.generators), *shape)
        for row, generator in zip(drawn, self.generators, strict=True):
            row.normal_(generator=generator)
        return drawn.movedim(0, -2).contiguous()
