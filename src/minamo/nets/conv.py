"""Convolutional nets for images of any height and width, plain or residual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from minamo.nets.base import Bias, Net

Shape = tuple[int, ...]
"""(height, width) of a grey image, (height, width, colors) of one in color."""


class ConvEncoder(Net):
    """Image -> numbers: every stage halves height and width; then an affine map.

    Args:
        shape: of an image.
        n_out: width of the output.
        channels: of each stage.
        residual: stages end in a residual block. "Deep Residual Learning for Image Recognition" (He et al., 2016).
    """

    def __init__(self, shape: Shape, n_out: int, channels: Sequence[int], *, residual: bool = False):
        super().__init__()
        (h, w), colors = shape[:2], _colors(shape)
        self.whole = (h, w, colors)
        stages: list[nn.Module] = []
        for before, c in pairwise((colors, *channels)):
            h, w = math.ceil(h / 2), math.ceil(w / 2)
            stages += [Convolution(before, c, h * w, 2), *([_Block(c, h * w)] if residual else []), nn.SiLU()]
            self.widest = max(self.widest, c * h * w)
        self.stages = nn.Sequential(*stages)
        self.last = nn.Linear((channels[-1] if channels else colors) * h * w, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """[..., pixels] -> [..., n_out]."""
        # As a color image lies: the channels last, which is what convolutions like best.
        images = x.reshape(-1, *self.whole).movedim(-1, 1)
        return self.last(self.stages(images).flatten(1)).unflatten(0, x.shape[:-1])


class ConvDecoder(Net):
    """Numbers -> image: an affine map, then every stage doubles height and width, up to those of the image.

    Args:
        n_in: width of the input.
        shape: of an image.
        per_value: numbers for every value of it.
        channels: of each stage.
        residual: stages begin with a residual block.
    """

    def __init__(self, n_in: int, shape: Shape, per_value: int, channels: Sequence[int], *, residual: bool = False):
        super().__init__()
        sizes = [shape[:2]]
        for _ in channels:
            sizes.append(tuple(math.ceil(n / 2) for n in sizes[-1]))
        *rest, self.start = sizes
        self.sizes, self.whole = rest[::-1], (per_value, _colors(shape))
        after = per_value * _colors(shape)
        self.channels = channels[0] if channels else after
        self.first = nn.Linear(n_in, self.channels * math.prod(self.start))
        self.stages = nn.ModuleList()
        places = [math.prod(size) for size in (self.start, *self.sizes)]
        for (before, c), size, n in zip(pairwise((*channels, after)), self.sizes, places[:-1], strict=True):
            block = _Block(before, n) if residual else nn.Identity()
            self.stages.append(nn.ModuleList([block, _Up(before, c, n)]))
            self.widest = max(self.widest, 4 * c * math.prod(size))
        self.last = Bias(per_value * math.prod(shape))  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] -> [..., per_value * pixels], the first number of all pixels first."""
        y = self.first(x.flatten(0, -2)).view(-1, *self.start, self.channels).movedim(-1, 1)
        for stage, size in zip(self.stages, self.sizes, strict=True):
            block, up = stage  # pyright: ignore[reportGeneralTypeIssues]
            y = up(functional.silu(block(y)), size)
        images = y.unflatten(1, self.whole).movedim(2, -1)
        return self.last(images.flatten(1)).unflatten(0, x.shape[:-1])


def _colors(shape: Shape) -> int:
    return shape[2] if len(shape) > 2 else 1


class Convolution(nn.Conv2d):
    """3 x 3, and at how many places of an image it is taken: what it costs."""

    def __init__(self, before: int, after: int, places: int, stride: int = 1):
        super().__init__(before, after, 3, stride, 1)
        self.places = places


class _Block(nn.Module):
    """h + conv(silu(conv(silu(h))))."""

    def __init__(self, channels: int, places: int):
        super().__init__()
        self.one = Convolution(channels, channels, places)
        self.two = Convolution(channels, channels, places)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(functional.silu(self.one(functional.silu(x))))


class _Up(nn.Module):
    """Four sub-pixels for every pixel, and what is too much cut off.

    "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network" (Shi
    et al., 2016): the convolution is done before the image has grown. Unlike torch's pixel_shuffle, the channels of a
    sub-pixel lie side by side in memory.
    """

    def __init__(self, before: int, after: int, places: int):
        super().__init__()
        self.subpixels = Convolution(before, 4 * after, places)

    def forward(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        h, w = x.shape[2:]
        four = self.subpixels(x).movedim(1, -1).unflatten(-1, (2, 2, -1))
        grown = four.transpose(2, 3).reshape(len(x), 2 * h, 2 * w, -1)
        return grown[:, : size[0], : size[1]].movedim(-1, 1)
