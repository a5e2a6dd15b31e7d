"""The gated multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from minamo.nets.base import Net


class GatedMlp(Net):
    """y = W_n h + b_n, every hidden layer h' = (A h + a) * sigmoid(B h + b).

    "Language Modeling with Gated Convolutional Networks" (Dauphin, Fan, Auli, Grangier, 2017); the nets of "VAE with a
    VampPrior" (Tomczak, Welling, 2018).

    Args:
        n_in: width of the input.
        n_out: width of the output.
        hidden: widths of the hidden layers.
    """

    def __init__(self, n_in: int, n_out: int, hidden: Sequence[int]):
        super().__init__()
        widths = [n_in, *hidden]
        # A and B in one: one matrix product for both.
        self.body = nn.ModuleList(nn.Linear(a, 2 * b) for a, b in pairwise(widths))
        self.last = nn.Linear(widths[-1], n_out)

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] -> [..., n_out]."""
        for layer in self.body:
            x = functional.glu(layer(x))
        return self.last(x)
