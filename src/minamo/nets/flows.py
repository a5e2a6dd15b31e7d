"""Invertible maps of latents, from zuko."""

from __future__ import annotations

import copy
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Size, Tensor, nn
from torch.distributions import Transform

if TYPE_CHECKING:
    from zuko.lazy import LazyTransform

TRANSFORMS = 4
WIDTH = 128


def coupling(features: int, context: int = 0) -> LazyTransform:
    """Affine coupling layers, fast in both directions. "Density estimation using Real NVP" (Dinh et al., 2017).

    Args:
        features: width of what is mapped.
        context: width of what the map depends on besides.
    """
    layer = _layer()
    from zuko.lazy import LazyComposedTransform

    return LazyComposedTransform(*(layer(features, context, (i + 1) % 2, **_SIZES) for i in range(TRANSFORMS)))


def autoregressive(features: int) -> LazyTransform:
    """Masked affine autoregressive layers, from data to noise in one pass, back in as many as there are features.

    "Masked Autoregressive Flow for Density Estimation" (Papamakarios, Pavlakou, Murray, 2017).
    """
    return _zuko().MAF(features, transforms=TRANSFORMS, **_SIZES).transform


def held(transform: LazyTransform, context: Tensor | None = None) -> Transform:
    """The map with its weights and context out of the graph, in the same memory."""
    memo = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in transform.parameters()}
    return copy.deepcopy(transform, memo)(None if context is None else context.detach())  # type: ignore[arg-type]


_SIZES: dict[str, Any] = {"hidden_features": (WIDTH,), "activation": nn.SiLU}


@cache
def _layer() -> Any:
    """zuko's coupling layer, but for how it finds its two halves.

    zuko asks a mask where it is true, which a step that is traced cannot do, since the answer's shape depends on
    data. Every other latent is a slice.
    """
    _zuko()
    from zuko.flows.coupling import GeneralCouplingTransform
    from zuko.transforms import CouplingTransform

    class Halves(CouplingTransform):
        def __init__(self, meta: Any, first: int):
            Transform.__init__(self)  # type: ignore[arg-type]
            self.meta = meta
            self.kept, self.moved = slice(1 - first, None, 2), slice(first, None, 2)

        def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x[..., self.kept], x[..., self.moved]

        def merge(self, x_a: Tensor, x_b: Tensor, shape: Size) -> Tensor:
            x = x_a.new_empty(shape)
            x[..., self.kept], x[..., self.moved] = x_a, x_b
            return x

    class Layer(GeneralCouplingTransform):
        def __init__(self, features: int, context: int, first: int, **sizes: Any):
            super().__init__(features, context, mask=torch.arange(features) % 2 != first, **sizes)  # type: ignore[arg-type]
            self.first = first

        def forward(self, c: Tensor | None = None) -> Transform:
            return Halves(partial(self.meta, c), self.first)  # type: ignore[arg-type]

    return Layer


def _zuko() -> Any:
    from torch.distributions import Distribution

    # zuko switches torch's argument checks off for the whole process when it is imported; its users may want them.
    checks, constraints = Distribution._validate_args, Distribution.__dict__.get("arg_constraints")
    import zuko.flows

    Distribution.set_default_validate_args(checks)
    if constraints is not None:
        Distribution.arg_constraints = constraints  # type: ignore[assignment,misc]
    return zuko.flows
