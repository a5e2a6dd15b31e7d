"""Matrix products and convolutions with factors in bf16, where a processor is faster at them."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from minamo.nets import Convolution
from minamo.training.device import CPU, computing_on, wait_for

LEAST = 64
"""A product with a smaller size than this, of latents or of a small batch, stays in float32: little is to be gained."""
LEAST_CHANNELS = 4
"""A convolution from or to fewer channels does, too."""

_aten: Any = torch.ops.aten
_WEIGHT_OF = {_aten.convolution.default: 1, _aten.convolution_backward.default: 2}
"""Where the weight stands among the arguments."""
_VIEWS = (_aten.t.default, _aten.view.default, _aten.detach.default, _aten.transpose.int, _aten.permute.default)


def shorten(graph: fx.Graph, shadows: dict[fx.Node, fx.Node]) -> None:
    """Rewrite the large products of a traced function, in place: factors and result in bf16, sums in float32.

    Each result goes on in float32, so nothing else is computed in fewer digits. A factor that is used twice, forward
    and backward, is rounded once.

    Args:
        graph: as `make_fx` traces it with fake tensors.
        shadows: weight -> its value in bf16, both inputs of the graph; spares rounding it.
    """
    rounded = dict(shadows)
    for node in list(graph.nodes):
        if node.target in _WEIGHT_OF and _is_large(node.args[_WEIGHT_OF[node.target]].meta["val"]):
            _shorten_convolution(graph, node, rounded)
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
    _sum_what_is_rounded(graph, rounded)


def _shorten_convolution(graph: fx.Graph, node: fx.Node, rounded: dict[fx.Node, fx.Node]) -> None:
    """Give a convolution, or its gradients, what it reads in bf16, and take its results back to float32."""
    backward = node.target is _aten.convolution_backward.default
    args = list(node.args)
    for place in range(3 if backward else 2):
        args[place] = _rounded(graph, args[place], rounded)  # type: ignore[arg-type]
    with graph.inserting_before(node):
        if backward:
            found = graph.call_function(node.target, tuple(args))  # pyright: ignore[reportArgumentType]
            for user in list(node.users):
                whole = graph.call_function(operator.getitem, (found, user.args[1]))
                if args[-1][user.args[1]]:  # type: ignore[index]
                    whole = graph.call_function(_aten._to_copy.default, (whole,), {"dtype": torch.float32})
                whole.meta = user.meta
                user.replace_all_uses_with(whole)
                graph.erase_node(user)
        else:
            bias, args[2] = args[2], None
            found = graph.call_function(node.target, tuple(args))  # pyright: ignore[reportArgumentType]
            whole = graph.call_function(_aten._to_copy.default, (found,), {"dtype": torch.float32})
            if bias is not None:
                whole = graph.call_function(
                    _aten.add.Tensor, (whole, graph.call_function(_aten.view.default, (bias, [1, -1, 1, 1])))
                )
            whole.meta = node.meta
            node.replace_all_uses_with(whole)
    graph.erase_node(node)


def _sum_what_is_rounded(graph: fx.Graph, rounded: dict[fx.Node, fx.Node]) -> None:
    """Let gradients of biases add up, in float32, the values that the products beside them take.

    Else a gradient would have to lie in memory twice, and the larger copy be read column by column.
    """
    for node in list(graph.nodes):
        if node.target is _aten.sum.dim_IntList and node.args[1] == [0] and node.args[0] in rounded:
            with graph.inserting_before(node):
                again = graph.call_function(_aten._to_copy.default, (rounded[node.args[0]],), {"dtype": torch.float32})
            node.args = (again, *node.args[1:])


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


@dataclass(frozen=True)
class Products:
    """What a step multiplies."""

    matrices: tuple[tuple[int, ...], ...]
    """(outputs, inputs) of every weight matrix."""
    convolutions: tuple[tuple[int, int, int], ...] = ()
    """(outputs, inputs, places) of every 3 x 3 convolution."""

    @classmethod
    def of(cls, model: nn.Module) -> Products:
        """Find them in a model."""
        found = [m for m in model.modules() if isinstance(m, Convolution)]
        return cls(
            tuple(tuple(p.shape) for p in model.parameters() if p.dim() == 2),
            tuple((m.out_channels, m.in_channels, m.places) for m in found),
        )

    @property
    def work(self) -> int:
        """Floating-point operations for one row, forward and backward."""
        return 6 * (sum(map(math.prod, self.matrices)) + 9 * sum(map(math.prod, self.convolutions)))

    def timed(
        self, batch_size: int, device: torch.device = CPU
    ) -> list[tuple[Callable[[], object], Callable[[], object]]]:
        """All of them for some rows: as they are, and as they are where the large ones are in bf16."""
        pairs, ones = [], partial(torch.ones, device=device)
        for n_out, n_in in self.matrices:
            factors = ones(batch_size, n_in), ones(batch_size, n_out), ones(n_out, n_in)
            short = tuple(f.bfloat16() for f in factors) if min(batch_size, n_out, n_in) >= LEAST else factors
            pairs.append((partial(_multiply, *factors), partial(_multiply, *short)))
        for n_out, n_in, places in self.convolutions:
            side = max(1, round(places**0.5))
            image, weight = ones(batch_size, n_in, side, side), ones(n_out, n_in, 3, 3)
            image = image.contiguous(memory_format=torch.channels_last)
            short = (image.bfloat16(), weight.bfloat16()) if _is_large(weight) else (image, weight)
            pairs.append((partial(_convolve, image, weight), partial(_convolve, *short)))
        return pairs


def gain(products: Products, batch_size: int, seconds: float = 1.0, device: torch.device = CPU) -> float:
    """How many times as fast the products of a step are where the large ones are in bf16.

    Where a processor has no kernels for such convolutions they take seconds each: one is tried on two rows first, and
    all are timed only if it is not ten times as slow.
    """
    large = tuple(c for c in products.convolutions if min(c[:2]) >= LEAST_CHANNELS)
    if large and device == CPU:
        ((plain, short),) = Products((), large[:1]).timed(2)
        if (tried := _fastest([(plain, short)], 3)) < 0.1:
            return tried
    with computing_on(device):
        return _fastest(products.timed(batch_size, device), 5, seconds, device)


def _fastest(
    pairs: list[tuple[Callable[[], object], Callable[[], object]]],
    least: int,
    seconds: float = 0,
    device: torch.device = CPU,
) -> float:
    """Time of the first of each pair, together, over that of the second.

    The fastest of each: whatever else the machine does makes products slower, never faster.
    """
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        times.append((_seconds([a for a, _ in pairs], device), _seconds([b for _, b in pairs], device)))
    plain, short = (min(found) for found in zip(*times, strict=True))
    return plain / short


def _seconds(calls: list[Callable[[], object]], device: torch.device) -> float:
    wait_for(device)
    started = time.perf_counter()
    for call in calls:
        call()
    wait_for(device)
    return time.perf_counter() - started


def _multiply(x: Tensor, y: Tensor, w: Tensor) -> None:
    """Forward, and the gradients of input and weight."""
    torch.mm(x, w.T)
    torch.mm(y, w)
    torch.mm(y.T, x)


def _convolve(image: Tensor, weight: Tensor) -> None:
    """Forward, and the gradients of input and weight."""
    y = torch.convolution(image, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    _aten.convolution_backward(y, image, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False])


def _is_large(weight: Tensor) -> bool:
    return min(weight.shape[:2]) >= LEAST_CHANNELS
