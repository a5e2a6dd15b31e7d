"""Invertible maps of latents, from zuko."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
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
    import_zuko()
    from zuko.lazy import LazyComposedTransform

    from minamo.nets.halves import Layer

    layers = (Layer(features, context, (i + 1) % 2, **_SIZES) for i in range(TRANSFORMS))  # type: ignore[arg-type]
    return LazyComposedTransform(*layers)


def autoregressive(features: int) -> LazyTransform:
    """Masked affine autoregressive layers, from data to noise in one pass, back in as many as there are features.

    "Masked Autoregressive Flow for Density Estimation" (Papamakarios, Pavlakou, Murray, 2017).
    """
    return import_zuko().MAF(features, transforms=TRANSFORMS, **_SIZES).transform


def held(transform: LazyTransform, context: Tensor | None = None) -> Transform:
    """The map with its weights and context out of the graph, in the same memory."""
    memo = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in transform.parameters()}
    return copy.deepcopy(transform, memo)(None if context is None else context.detach())  # type: ignore[arg-type]


_SIZES: dict[str, Any] = {"hidden_features": (WIDTH,), "activation": nn.SiLU}


def import_zuko() -> Any:
    """Import zuko's flows and leave torch as it was."""
    from torch.distributions import Distribution

    # zuko switches torch's argument checks off for the whole process when it is imported; its users may want them.
    checks, constraints = Distribution._validate_args, Distribution.__dict__.get("arg_constraints")
    import zuko.flows

    Distribution.set_default_validate_args(checks)
    if constraints is not None:
        Distribution.arg_constraints = constraints  # type: ignore[assignment,misc]
    return zuko.flows
