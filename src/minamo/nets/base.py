"""What a net is, to those who build on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Maps [..., n_in] to [..., n_out]; what is done last adds a bias to every output."""

    last: nn.Linear
    """Or, where the last map is a convolution, a `Bias`: what likelihoods know of it is `bias` and `out_features`."""
    widest = 0
    """Numbers held for one row at the widest place, where that is not the width of a weight matrix."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] -> [..., n_out]."""
        raise NotImplementedError


class Bias(nn.Module):
    """Adds a learned number to every output."""

    def __init__(self, n: int):
        super().__init__()
        self.out_features = n
        self.bias = nn.Parameter(torch.zeros(n))

    def forward(self, x: Tensor) -> Tensor:
        """[..., n] -> [..., n]."""
        return x + self.bias
