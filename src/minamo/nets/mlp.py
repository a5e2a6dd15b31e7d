"""The multilayer perceptron; with no hidden layer, an affine map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from minamo.nets.base import Net


class Mlp(Net):
    """y = W_n f(... f(W_1 x + b_1) ...) + b_n, with f = SiLU unless told otherwise.

    Args:
        n_in: width of the input.
        n_out: width of the output.
        hidden: widths of the hidden layers; `()` makes the map affine.
        activation: makes f, for example `nn.ReLU`.
        output: a module applied to the result, for example `nn.Sigmoid()`.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        hidden: Sequence[int],
        activation: Callable[[], nn.Module] = nn.SiLU,
        output: nn.Module | None = None,
    ):
        super().__init__()
        widths = [n_in, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), activation()]
        self.last = nn.Linear(widths[-1], n_out)
        self.body = nn.Sequential(*layers)
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] -> [..., n_out]."""
        y = self.last(self.body(x))
        return y if self.output is None else self.output(y)
