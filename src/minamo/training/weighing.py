"""log p(x|z) of many draws as one compiled graph: what an evaluation with thousands of draws spends its time on."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.func import functional_call

from minamo.batch import Batch
from minamo.data import Rows
from minamo.evidence import weigh
from minamo.evidence.judged import LIVE, MEMORY, NUMBERS_AT_ONCE, widest
from minamo.evidence.weights import BLOCK, ROWS
from minamo.likelihoods import Likelihood
from minamo.model import LatentVariableModel
from minamo.randomness import drawing_from, stream
from minamo.training.compiled import Calling, compile_graph, compiler, compiler_settings
from minamo.training.device import CPU
from minamo.training.precision import Products, gain, shorten, takes_shadow

WORTH_COMPILING = 2e12
"""Floating-point operations from which compiling repays itself: some fifteen seconds of products."""
CLEARLY = 1.2
"""bf16 is tried where its products are faster by this factor."""
WITHIN = 0.01
"""Nats by which the mean of a bound may be off where products are in bf16."""
JUDGED_ROWS = 32
"""Rows on which that error is measured, in float64 with the same noise..."""
JUDGED_WORK = 2e11
"""...and operations that this may take: some ten seconds."""


class CompiledLikelihood:
    """log p(x|z) [K, B] from x [B, D] and z [K, B, latent_dim], compiled for a few draws of 64 rows.

    The likelihood's own functions are traced once. More draws are done one tile after the other, and a tile that is not
    full is filled up with repetitions, whose numbers are dropped.

    Args:
        likelihood: held fixed; float32.
        n_columns: D.
        latent_dim: width of z.
        precision: of the large products, "float32" or "bf16".
        draws: in a tile.

    Raises:
        RuntimeError: compiled, it gives other numbers than uncompiled.
    """

    def __init__(self, likelihood: Likelihood, n_columns: int, latent_dim: int, precision: str, draws: int = BLOCK):
        self.likelihood, self.draws = likelihood, draws
        self.names = [
            f"model.{name}" for name in (*dict(likelihood.named_parameters()), *dict(likelihood.named_buffers()))
        ]
        weights = [*likelihood.parameters(), *likelihood.buffers()]
        self.weights = [w.detach() for w in weights]
        short = [i for i, w in enumerate(self.weights) if precision == "bf16" and takes_shadow(w)]
        self.weights += [self.weights[i].bfloat16() for i in short]
        with drawing_from(stream(0, "compare")):
            x, z = torch.randn(ROWS, n_columns).gt(0).float(), torch.randn(draws, ROWS, latent_dim)
        with torch.no_grad(), compiler_settings():
            from torch.fx.experimental.proxy_tensor import make_fx

            graph = make_fx(self._log_prob, tracing_mode="fake", _allow_non_fake_inputs=True)(*self.weights, x, z)
            if precision == "bf16":
                given = [node for node in graph.graph.nodes if node.op == "placeholder"]
                shorten(graph.graph, {given[i]: given[len(self.names) + j] for j, i in enumerate(short)})
                graph.recompile()
            self.graph = compile_graph(graph, [*self.weights, x, z])
            right, found = (f(*self.weights, x, z)[0] for f in (graph, self.graph))
        close = 1e-4 if precision == "float32" else 1e-2
        if not torch.allclose(found, right, rtol=close, atol=close):
            raise RuntimeError("compiled, it gives other numbers than uncompiled")

    def __call__(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z), [K, B]."""
        b = z.shape[1]
        if b < ROWS:
            x = torch.cat([x, x[-1:].expand(ROWS - b, -1)])
            z = torch.cat([z, z[:, -1:].expand(-1, ROWS - b, -1)], 1)
        return torch.cat([self._tile(x.contiguous(), some) for some in z.split(self.draws)])[:, :b]

    def _tile(self, x: Tensor, z: Tensor) -> Tensor:
        k = len(z)
        if k < self.draws:
            z = torch.cat([z, z[-1:].expand(self.draws - k, -1, -1)])
        with torch.no_grad():
            return self.graph(*self.weights, x, z.contiguous())[0][:k]

    def _log_prob(self, *inputs: Tensor) -> tuple[Tensor]:
        """The function that is traced: everything it touches is among its inputs."""
        *weights, x, z = inputs
        tensors = dict(zip(self.names, weights, strict=False))
        calling = Calling(self.likelihood, lambda: self.likelihood(z).log_prob(x))
        return (functional_call(calling, tensors, ()),)


def fastest(
    model: LatentVariableModel, rows: Rows, k: int, memory: int = MEMORY, seed: int = 0
) -> tuple[CompiledLikelihood | None, str]:
    """Return a compiled log p(x|z) if the work repays compiling, else None; and in words what was chosen.

    Large products are in bf16 where the processor is faster at them and the mean bound of 32 rows is within 0.01 nats
    of that in float64, from the same draws: k of them, or as many as convolutions in float64 have time for.

    Args:
        model: of minamo's, float32.
        rows: the data.
        k: draws for each row.
        memory: bytes that the evaluation may hold.
        seed: of its noise.
    """
    products = Products.of(model.likelihood)
    # A third of what forward and backward take.
    work = len(rows) * k * products.work / 3
    # What is decoded at one time must stay near the processor: of images that pass through wide layers, one draw.
    tile = max(1, min(BLOCK, NUMBERS_AT_ONCE // widest(model, rows.n_columns) // ROWS))
    needed = 8 * LIVE * widest(model, rows.n_columns) * ROWS * tile
    if rows.device != CPU or work < WORTH_COMPILING or compiler() is None or needed > memory // 2:
        return None, "float32"
    some, judged = rows.spread(JUDGED_ROWS), min(k, max(BLOCK, int(3 * JUDGED_WORK / JUDGED_ROWS / products.work)))
    for precision in ["bf16"] * (gain(products, ROWS * tile) > CLEARLY) + ["float32"]:
        try:
            found = CompiledLikelihood(model.likelihood, rows.n_columns, model.prior.latent_dim, precision, tile)
        except Exception as error:  # whatever a compiler may raise: the work is done without it
            return None, f"float32, uncompiled ({str(error).splitlines()[0][:80]})"
        exact = weigh(copy.deepcopy(model).double(), _Doubled(some), [judged], seed=seed, memory=memory).bounds[0]
        off = float((weigh(model, some, [judged], seed=seed, memory=memory, log_px_z=found).bounds[0] - exact).mean())
        if abs(off) <= WITHIN:
            of = "" if judged == k else f", {judged} draws"
            return found, f"{precision} products, {off:+.4f} nats against float64 on {len(some)} rows{of}"
    return None, "float32"


class _Doubled:
    """The same rows in float64."""

    def __init__(self, rows: Rows):
        self.rows, self.n_columns, self.log_det = rows, rows.n_columns, rows.log_det

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, size: int) -> Iterator[Batch]:
        """See `Source`."""
        return self.rows.batches(size, dtype=torch.float64)
