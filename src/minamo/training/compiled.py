"""The gradient step as one compiled graph: forward, bound, backward, Adam.

The very functions of the eager step are run once with tensors that record what is done to them, autograd's backward
included; the recorded graph goes to torch's compiler. So there is no second model and no backward by hand, and
whatever the eager step can do with fixed shapes can be compiled.
"""

from __future__ import annotations

import operator
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from minamo.data import Rows
from minamo.model import LatentVariableModel
from minamo.randomness import drawing_from, stream
from minamo.training.adam import Adam, moved
from minamo.training.captured import Captured
from minamo.training.device import CPU
from minamo.training.precision import shorten, takes_shadow
from minamo.training.step import EagerStep, Objective

SETTINGS = {
    "fallback_random": True,  # random numbers as torch draws them outside a graph
    "cpp_wrapper": True,  # kernels are called from C++, not from Python: a third of a small net's step
    "memory_planning": True,  # one block of memory for all that a step passes on
    "cpp.vec_isa_ok": True,  # the processor says what it has; compiling a test for each costs 7 s
    "size_asserts": False,  # shapes never change here
    "alignment_asserts": False,
}
ON_A_CARD = ("fallback_random", "size_asserts", "alignment_asserts")
"""Of these, what is in force where the step runs on a graphics card."""
FEW_STEPS = 50
"""In epochs of fewer steps the last batch, smaller than the others, gets a graph of its own; else it is run eagerly."""

CLOSE = {"float32": 1e-3, "tf32": 1e-2, "bf16": 1e-2}
"""Difference, relative to the largest value of a tensor, that is put down to rounding when compiled code is compared
with what it was compiled from; near a boundary a value is rounded to bf16 to the other side."""


def compiler() -> str | None:
    """Return the C++ compiler that torch will call, or None where there is none, or compiling is switched off."""
    if os.environ.get("TORCH_COMPILE_DISABLE", "0") not in ("", "0"):
        return None
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    return next((found for name in names if (found := shutil.which(name))), None)


def compiled_sizes(n_rows: int, size: int) -> set[int]:
    """Of which sizes of batch an epoch gets a graph each."""
    rest = n_rows % size if n_rows < FEW_STEPS * size else 0
    return {n for n in (size, rest) if 0 < n <= n_rows}


class CompiledStep:
    """The step, compiled for batches of `size` rows; batches of any other size take the eager step.

    Args:
        model, rows, adam, objective: as for `EagerStep`.
        size: rows in a batch.
        precision: of the large matrix products, "float32", "tf32" or "bf16". For bf16 the step keeps a copy of the
            weights in that precision, renewed with every step; the weights themselves stay float32.
        draws: of z for every row.
    """

    def __init__(
        self,
        model: LatentVariableModel,
        rows: Rows,
        adam: Adam,
        objective: Objective,
        size: int,
        precision: str = "float32",
        draws: int = 1,
    ):
        self.model, self.rows, self.adam, self.objective = model, rows, adam, objective
        self.precision, self.draws = precision, draws
        self.shadowed = [i for i, w in enumerate(adam.weights) if precision == "bf16" and takes_shadow(w)]
        self.shadows = [adam.weights[i].bfloat16() for i in self.shadowed]
        self.eager = EagerStep(model, rows, adam, objective)
        self.learned_names = [name for name, p in model.named_parameters() if p.requires_grad]
        self.rest_names = list(self._rest())
        self.graphs: dict[int, Callable[..., tuple[Tensor, Tensor]]] = {}
        for n in compiled_sizes(len(rows), size):
            self.graphs[n] = self._compiled(n)
        self.taken = 0

    def begin(self, rates: Tensor, kl_weights: Tensor) -> None:
        """Compute Adam's corrections for the steps of an epoch, and note where every tensor lies."""
        weights = kl_weights.to(self.rows.device).unbind()
        self.numbers = list(zip(*self.adam.corrections(rates), weights, strict=True))
        self.plain_rates, self.kl_weights = rates, kl_weights
        self.taken = self.counted = 0
        self._renew()
        self.held = self._inputs()
        for graph in self.graphs.values():
            if isinstance(graph, Captured):
                graph.refuse_moved(self.held)

    def __call__(self, places: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """See `Step`."""
        # len(tensor) is a function in Python; this loop runs hundreds of times a second.
        n, t = places.shape[0], self.taken
        graph = self.graphs.get(n)
        self.taken += 1
        if graph is not None:
            # Rows are gathered and binarized before the graph: the compiler has no vectors of 16-bit numbers, and
            # without vectors a pass over the logits takes ten times as long.
            drawn, numbers = self.rows.drawn(places)
            with torch.no_grad():
                return graph(*self.held, drawn, *_some(numbers), noise, *self.numbers[t])
        self.adam.count(t - self.counted)
        self.counted = t + 1
        self.eager.begin(self.plain_rates[t:], self.kl_weights[t:])
        found = self.eager(places, noise)
        self._renew()
        return found

    def end(self) -> None:
        """Let Adam count the steps."""
        self.adam.count(self.taken - self.counted)
        self.counted = self.taken

    def _renew(self) -> None:
        """Copy the weights to their shadows, after others than the graph have moved them."""
        for i, shadow in zip(self.shadowed, self.shadows, strict=True):
            shadow.copy_(self.adam.weights[i])

    def _inputs(self) -> list[Tensor]:
        adam = self.adam
        return [*adam.weights, *adam.first, *adam.second, *self._rest().values(), *self.shadows]

    def _rest(self) -> dict[str, Tensor]:
        """What the step reads besides: parameters that are held, and buffers."""
        held = {name: p.detach() for name, p in self.model.named_parameters() if not p.requires_grad}
        return held | dict(self.model.named_buffers())

    def _compiled(self, n: int) -> Callable[..., tuple[Tensor, Tensor]]:
        """Trace the step for batches of n rows, and compile the trace."""
        device = self.rows.device
        with drawing_from(stream(0, "compare", device=device)):
            noise = torch.randn(self.draws, n, self.model.prior.latent_dim, device=device)
            drawn, of = self.rows.drawn(torch.arange(n, device=device))
        # No tensor twice: the compiler would take the two for one ever after.
        numbers = [torch.tensor(value, device=device) for value in (1e-3, 2.0, 0.5)]
        held, given = self._inputs(), [drawn, *_some(of), noise, *numbers]
        inputs = [*held, *given]
        with torch.no_grad(), compiler_settings(device):
            from torch.fx.experimental.proxy_tensor import make_fx

            graph = make_fx(self._step, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
            if self.precision == "bf16":
                self._shorten(graph)
            put_off(graph.graph)
            graph.recompile()
            compiled = compile_graph(graph, inputs)
        self._compare(graph, compiled, inputs)
        if device.type == "cuda":
            with torch.no_grad():
                compiled = Captured(compiled, held, given)
        # What the posterior noted about itself meanwhile is of no row of the data.
        self.model.posterior.steps = None
        return compiled

    def _shorten(self, graph: fx.GraphModule) -> None:
        given = [node for node in graph.graph.nodes if node.op == "placeholder"]
        at = 3 * len(self.learned_names) + len(self.rest_names)
        shorten(graph.graph, {given[i]: given[at + j] for j, i in enumerate(self.shadowed)})
        graph.recompile()

    def _compare(self, graph: Callable[..., Any], compiled: Callable[..., Any], inputs: list[Tensor]) -> None:
        """Take one step with the compiled and with the uncompiled function, on copies; refuse code that differs."""
        # What is not rounded on the way is compared with the eager functions themselves.
        plain = self._step if self.precision == "float32" else graph
        k, close = len(self.learned_names), CLOSE[self.precision]
        changed = 3 * k + len(self.rest_names) + len(self.shadows)
        found: list[list[Tensor]] = []
        for step in (plain, compiled):
            own = [t.clone() if i < changed else t for i, t in enumerate(inputs)]
            for second in own[2 * k : 3 * k]:
                # With no moments yet Adam's step is the sign of the gradient, in which any rounding shows.
                second.fill_(1.0)
            with drawing_from(stream(0, "compare", device=self.rows.device)), torch.no_grad():
                found.append([*step(*own), *own[:changed]])
        for right, got in zip(*found, strict=True):
            right, got = right.double(), got.double()
            if not torch.allclose(right, got, rtol=close, atol=close * float(right.abs().max()) + 1e-6):
                raise RuntimeError("compiled, it gives other numbers than uncompiled")

    def _step(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The step as a function of all its tensors; changes the weights, the moments and the rest in place."""
        # Only what is in `inputs` may be touched here: any other tensor would be a constant of the graph.
        k, m = len(self.learned_names), len(self.rest_names)
        weights, first, second = inputs[:k], inputs[k : 2 * k], inputs[2 * k : 3 * k]
        shadows = inputs[3 * k + m : 3 * k + m + len(self.shadows)]
        *drawn, noise, rate, root, kl_weight = inputs[3 * k + m + len(self.shadows) :]
        leaves = [w.detach().requires_grad_() for w in weights]

        def body() -> tuple[Tensor, Tensor, Sequence[Tensor | None]]:
            draw = self.model.draw(self.rows.batch(*drawn), noise=noise, kl_weight=kl_weight)
            grads = torch.autograd.grad(-self.objective(draw).mean(), leaves, allow_unused=True)
            self.model.likelihood.maximize(draw.log_px_z.detach())
            return draw.log_px_z.detach().mean(0), draw.kl.detach(), grads

        with torch.enable_grad():
            names = (f"model.{name}" for name in (*self.learned_names, *self.rest_names))
            tensors = dict(zip(names, (*leaves, *inputs[3 * k : 3 * k + m]), strict=True))
            j1, j2, grads = functional_call(Calling(self.model, body), tensors, ())
        with torch.no_grad():
            for weight, grad, a, b in zip(weights, self.adam.clipped(grads), first, second, strict=True):
                if grad is not None:
                    moved(weight, grad, a, b, rate, root)
            for i, shadow in zip(self.shadowed, shadows, strict=True):
                shadow.copy_(weights[i])
        return j1, j2


def compile_graph(graph: fx.GraphModule, inputs: list[Tensor]) -> Any:
    """Call torch's compiler; where it fails in its fusion of outer loops, once more without that."""
    try:
        return torch._inductor.compile(graph, inputs)  # pyright: ignore
    except torch._inductor.exc.InductorError:  # pyright: ignore
        from torch._inductor.codegen.cpp import CppScheduling

        # torch 2.13 looks for a read of every buffer in each node that must come after it, which one that only writes
        # to a weight does not have: KeyError. A mixture prior in bf16 is such a step. There is no setting for it.
        with patch.object(CppScheduling, "can_fuse_vertical_outer_loop", lambda *_: False):
            return torch._inductor.compile(graph, inputs)  # pyright: ignore


def put_off(graph: fx.Graph) -> None:
    """Move what only the log waits for behind everything else, in order; in place.

    The compiler fuses a loop into a sum over its columns where the sum comes after it: so the gradient of a likelihood
    and its value are one pass over the logits, and each exponential is computed once. What reads a tensor that is
    written to, a weight before Adam's step, stays where it is.
    """
    written = {_whole(node.args[0]) for node in graph.nodes if _writes(node)}
    # A view of what is written to changes with it.
    written |= {node for node in graph.nodes if _whole(node) in written}
    stays: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        reads = any(arg in written for arg in node.all_input_nodes)
        if node.op != "output" and (_writes(node) or reads or any(user in stays for user in node.users)):
            stays.add(node)
    end = next(node for node in graph.nodes if node.op == "output")
    for node in list(graph.nodes):
        if node.op == "call_function" and node not in stays:
            end.prepend(node)


def _writes(node: fx.Node) -> bool:
    """Whether it is an operation that changes its first argument."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and schema.is_mutable


def _whole(node: Any) -> Any:
    """The tensor in whose memory this one lies, through any number of views."""
    while isinstance(node, fx.Node) and node.op == "call_function":
        schema = getattr(node.target, "_schema", None)
        view = node.target is operator.getitem or (schema is not None and any(r.alias_info for r in schema.returns))
        if not view:
            break
        node = node.args[0]
    return node


def _some(tensor: Tensor | None) -> list[Tensor]:
    return [] if tensor is None else [tensor]


class Calling(nn.Module):
    """A module whose forward is any function of `model`: functional_call swaps its tensors meanwhile."""

    def __init__(self, model: nn.Module, body: Callable[[], Any]):
        super().__init__()
        self.model = model
        self.body = body

    def forward(self) -> Any:
        """Call the function."""
        return self.body()


@contextmanager
def compiler_settings(device: torch.device = CPU) -> Iterator[None]:
    """SETTINGS in force; compiled code kept for the next run."""
    settings = SETTINGS if device == CPU else {name: SETTINGS[name] for name in ON_A_CARD}
    # Before the compiler is imported, which settles its folder then.
    named = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minamo" / "compiled"
    if named is None and _can_write(folder):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    from torch._inductor import config

    try:
        with config.patch(settings), warnings.catch_warnings():
            # torch's compiler warns of its own deprecated functions.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if named is None:
            os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
