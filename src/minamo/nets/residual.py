"""The residual multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from minamo.nets.base import Net


class ResidualMlp(Net):
    """y = W_n h + b_n, every hidden layer h' = S h + V silu(U silu(h)), S the identity between equal widths.

    "Identity Mappings in Deep Residual Networks" (He, Zhang, Ren, Sun, 2016), with affine maps for convolutions.

    Args:
        n_in: width of the input.
        n_out: width of the output.
        hidden: widths of the hidden layers.
    """

    def __init__(self, n_in: int, n_out: int, hidden: Sequence[int]):
        super().__init__()
        widths = [n_in, *hidden]
        self.body = nn.ModuleList(_Block(a, b) for a, b in pairwise(widths))
        self.last = nn.Linear(widths[-1], n_out)

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] -> [..., n_out]."""
        for block in self.body:
            x = block(x)
        return self.last(functional.silu(x))


class _Block(nn.Module):
    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.skip = nn.Identity() if n_in == n_out else nn.Linear(n_in, n_out)
        self.up = nn.Linear(n_in, n_out)
        self.out = nn.Linear(n_out, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.out(functional.silu(self.up(functional.silu(x))))
