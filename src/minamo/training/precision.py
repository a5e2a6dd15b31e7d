"""Matrix products with factors in bf16, where a processor is faster at them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

LEAST = 64
"""A product with a smaller size than this, of latents or of a small batch, stays in float32: little is to be gained."""

_aten: Any = torch.ops.aten
_VIEWS = (_aten.t.default, _aten.view.default, _aten.detach.default, _aten.transpose.int, _aten.permute.default)


def shorten(graph: fx.Graph, shadows: dict[fx.Node, fx.Node]) -> None:
    """Rewrite the large matrix products of a traced function, in place: factors and result in bf16, sums in float32.

    Each result goes on in float32, so nothing else is computed in fewer digits. A factor that is used twice, forward
    and backward, is rounded once.

    Args:
        graph: as `make_fx` traces it with fake tensors.
        shadows: weight -> its value in bf16, both inputs of the graph; spares rounding it.
    """
    rounded = dict(shadows)
    for node in list(graph.nodes):
        if node.target not in (_aten.mm.default, _aten.addmm.default) or node.kwargs:
            continue
        *bias, a, b = node.args
        values = [factor.meta["val"] for factor in (a, b)]
        # Who asks for float64 means it.
        if any(v.dtype != torch.float32 or min(v.shape) < LEAST for v in values):
            continue
        with graph.inserting_before(node):
            product = graph.call_function(_aten.mm.default, (_rounded(graph, a, rounded), _rounded(graph, b, rounded)))
            product = graph.call_function(_aten._to_copy.default, (product,), {"dtype": torch.float32})
            for term in bias:
                product = graph.call_function(_aten.add.Tensor, (product, term))
        product.meta = node.meta
        node.replace_all_uses_with(product)
        graph.erase_node(node)


def _rounded(graph: fx.Graph, node: fx.Node, done: dict[fx.Node, fx.Node]) -> fx.Node:
    """The node that holds `node` in bf16: views are taken again, of the rounded whole."""
    if node not in done:
        if node.target in _VIEWS:
            whole, *how = node.args
            assert isinstance(whole, fx.Node)
            target, args, kwargs = node.target, (_rounded(graph, whole, done), *how), node.kwargs
        else:
            target, args, kwargs = _aten._to_copy.default, (node,), {"dtype": torch.bfloat16}
        with graph.inserting_after(node):
            done[node] = graph.call_function(target, args, kwargs)  # pyright: ignore[reportArgumentType]
    return done[node]


def takes_shadow(weight: Tensor) -> bool:
    """Whether products with this weight may be rewritten."""
    return weight.dim() == 2 and min(weight.shape) >= LEAST


def gain(shapes: Sequence[tuple[int, ...]], batch_size: int, seconds: float = 1.0) -> float:
    """How many times as fast the products of a step are where the large ones are in bf16."""
    plain, short = [], []
    for n_out, n_in in shapes:
        factors = torch.ones(batch_size, n_in), torch.ones(batch_size, n_out), torch.ones(n_out, n_in)
        plain.append(factors)
        small = min(batch_size, n_out, n_in) < LEAST
        short.append(factors if small else tuple(f.bfloat16() for f in factors))
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        times.append((_seconds(plain), _seconds(short)))
    # The fastest of each: whatever else the machine does makes products slower, never faster.
    fastest_plain, fastest_short = (min(found) for found in zip(*times, strict=True))
    return fastest_plain / fastest_short


def _seconds(cases: list[tuple[Tensor, ...]]) -> float:
    started = time.perf_counter()
    for x, y, w in cases:
        torch.mm(x, w.T)
        torch.mm(y, w)
        torch.mm(y.T, x)
    return time.perf_counter() - started
