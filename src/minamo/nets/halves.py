"""zuko's coupling layer, but for how it finds its two halves. Needs zuko: import it where it is used."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Transform

from minamo.nets.flows import import_zuko

import_zuko()  # before any other module of zuko's is

from zuko.flows.coupling import GeneralCouplingTransform  # noqa: E402
from zuko.transforms import CouplingTransform  # noqa: E402


class Halves(CouplingTransform):
    """Every other latent is moved, by a map that the others give.

    zuko asks a mask where it is true, which a step that is traced cannot do: the shape of the answer depends on data.
    Here either half is a slice.

    Args:
        meta: what stays -> the map of the others.
        first: 0 or 1, the first latent that is moved.
    """

    def __init__(self, meta: Any, first: int):
        Transform.__init__(self)  # type: ignore[arg-type]
        self.meta = meta
        self.kept, self.moved = slice(1 - first, None, 2), slice(first, None, 2)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[..., D] -> what stays, what is moved."""
        return x[..., self.kept], x[..., self.moved]

    def merge(self, x_a: Tensor, x_b: Tensor, shape: Size) -> Tensor:
        """Undo `split`."""
        x = x_a.new_empty(shape)
        x[..., self.kept], x[..., self.moved] = x_a, x_b
        return x


class Layer(GeneralCouplingTransform):
    """A coupling layer with its net; of a single latent an affine map (zuko's `__new__` sees to it).

    Args:
        features: D.
        context: width of what the net is given besides.
        first: 0 or 1, the first latent that is moved.
        sizes: of the net, as zuko has them.
    """

    def __init__(self, features: int, context: int, first: int, **sizes: Any):
        super().__init__(features, context, mask=torch.arange(features) % 2 != first, **sizes)  # type: ignore[arg-type]
        self.first = first

    def forward(self, c: Tensor | None = None) -> Transform:
        """Return the map, given a context."""
        return Halves(partial(self.meta, c), self.first)  # type: ignore[arg-type]
