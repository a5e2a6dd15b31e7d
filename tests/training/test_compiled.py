"""The compiled step takes the numbers of the eager one, and keeps its promises: same bits again, resume, fallback."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.grad import conv2d_input, conv2d_weight

from minamo import VAE, Batch
from minamo.data import as_dataset
from minamo.distributions import IsotropicNormal
from minamo.errors import ConfigError
from minamo.model import LatentVariableModel
from minamo.objectives import sticking_the_landing
from minamo.randomness import drawing_from, stream
from minamo.training import Engine, State, compiled
from minamo.training.adam import Adam
from minamo.training.compiled import CompiledStep, compiler, put_off
from minamo.training.precision import shorten
from minamo.training.step import EagerStep

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3)) @ RNG.normal(size=(3, 6)) + 0.1 * RNG.normal(size=(300, 6))
GREY = RNG.integers(0, 256, (300, 12)).astype(np.uint8)
IMAGES = RNG.integers(0, 256, (300, 8, 7)).astype(np.uint8)
SMALL: dict[str, Any] = {"latent_dim": 3, "hidden": (16,), "batch_size": 100, "max_epochs": 4, "validation": 0}

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def compiled_code_is_kept_for_the_session(tmp_path_factory, monkeypatch):
    """One folder for all tests, so that a graph is compiled once."""
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "compiled"))


def states(step: str, x: np.ndarray = X, state: State | None = None, **how: Any) -> list[State]:
    vae = VAE(**{**SMALL, **how}, compile=step)
    return list(vae.train(vae.plan(as_dataset(x, "x")), state))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    ("x", "how"),
    [
        (X, {"scale": "shared"}),
        (X, {"scale": "analytic", "preprocess": "standardize"}),
        (GREY, {"binarize": "dynamic"}),
        (GREY, {"binarize": "dynamic", "clip": 0.5}),
        (GREY / 255, {"binarize": "dynamic"}),
        (X, {"posterior": "per-datum"}),
        (GREY, {"prior": "vamp", "components": 7, "binarize": "dynamic", "net": "gated"}),
        (X, {"prior": "coupling"}),
        (X, {"objective": "iwae", "draws": 3, "warmup": 2, "schedule": "cosine"}),
        (X, {"objective": "beta", "beta": 3.0, "warmup": 2}),
        (X, {"objective": "free-bits", "free_bits": 0.7, "warmup": 2}),
        (X, {"objective": "capacity", "capacity": 3.0, "warmup": 2}),
        pytest.param(
            X, {"objective": "free-bits", "free_bits": 0.7, "family": "full-covariance"}, marks=pytest.mark.slow
        ),
        pytest.param(IMAGES, {"net": "residual-conv", "hidden": (16, 16)}, marks=pytest.mark.slow),
        pytest.param(X, {"prior": "mixture", "components": 5, "net": "residual"}, marks=pytest.mark.slow),
        pytest.param(X, {"prior": "autoregressive"}, marks=pytest.mark.slow),
        pytest.param(X, {"objective": "dreg", "draws": 2}, marks=pytest.mark.slow),
        pytest.param(X, {"family": "flow", "posterior": "semi-amortized"}, marks=pytest.mark.slow),
        pytest.param(X, {"family": "flow"}, marks=pytest.mark.slow),
        pytest.param(X, {"family": "full-covariance"}, marks=pytest.mark.slow),
        pytest.param(X, {"posterior": "semi-amortized"}, marks=pytest.mark.slow),
        pytest.param(X, {"posterior": "exact", "net": "linear"}, marks=pytest.mark.slow),
        pytest.param(GREY, {"binarize": "fixed"}, marks=pytest.mark.slow),
    ],
    ids=lambda v: " ".join(map(str, v.values())) if isinstance(v, dict) else str(v.dtype),
)
def test_both_steps_follow_the_same_path(x, how):
    """Same noise, same order: after twelve steps weights, moments and bounds agree to rounding."""
    eager, fast = states("off", x, **how)[-1], states("on", x, **how)[-1]
    assert "note" not in fast.record
    for key in ("weights", "average", "moments"):
        for name, right in getattr(eager, key).items():
            torch.testing.assert_close(getattr(fast, key)[name], right, rtol=1e-4, atol=1e-5, msg=f"{key} {name}")
    for term in ("elbo", "reconstruction", "kl", "training_elbo"):
        assert fast.record[term] == pytest.approx(eager.record[term], abs=1e-4), term


def test_a_last_smaller_batch_and_adams_count_are_the_same_on_both_paths(monkeypatch):
    """230 rows are two batches of 100 and one of 30, which is compiled too, or not: the path is the same."""
    eager, fast = states("off", X[:230])[-1], states("on", X[:230])[-1]
    monkeypatch.setattr(compiled, "FEW_STEPS", 0)
    mixed = states("on", X[:230])[-1]
    for name, right in eager.moments.items():
        for found in (fast, mixed):
            torch.testing.assert_close(found.moments[name], right, rtol=1e-4, atol=1e-6, msg=name)
    assert float(mixed.moments["0.step"]) == 12


def test_the_compiled_step_repeats_its_bits_and_resumes_with_them():
    whole = states("on")
    assert same(whole[-1].weights, states("on")[-1].weights)
    for stop in (1, 3):
        tensors, plain = whole[stop - 1].to_parts()
        rest = states("on", state=State.from_parts(copy.deepcopy(tensors), copy.deepcopy(plain)))
        for key in ("weights", "average", "moments", "best"):
            assert same(getattr(rest[-1], key), getattr(whole[-1], key)), key


def test_the_gradient_is_zero_at_the_exact_posterior_on_both_paths():
    """A linear-Gaussian model with orthogonal columns at its own posterior: nothing moves q, whatever the noise.

    The law of `objectives.sticking_the_landing`, asked of the very steps that training takes.
    """
    vae = VAE(2, net="linear", likelihood="normal", scale=0.5, preprocess="none", validation=0, patience=None)
    plan = vae.plan(as_dataset(X[:100, :4], "x"))
    model = plan.model.train()
    # p(z|x) of x = W z + noise of variance s^2, W'W = diag(w^2): N(W'x / (w^2 + s^2), s^2 / (w^2 + s^2)).
    s2, w = 0.25, torch.tensor([2.0, 0.7])
    decoder: Any = model.likelihood.net.last  # type: ignore[union-attr]
    encoder: Any = model.posterior.net.last  # type: ignore[union-attr]
    with torch.no_grad():
        decoder.weight.zero_()
        decoder.weight[0, 0], decoder.weight[2, 1] = w
        decoder.bias.zero_()
        var = s2 / (w**2 + s2)
        encoder.weight.zero_()
        encoder.weight[:2] = decoder.weight.T / (w**2 + s2)[:, None]
        encoder.bias[2:] = 14 * torch.atanh(var.log() / 14)
        encoder.bias[:2] = 0
    for kind in ("eager", "compiled"):
        found = copy.deepcopy(model)
        adam = Adam(found)
        step = EagerStep(found, plan.rows, adam, sticking_the_landing)
        if kind == "compiled":
            step = CompiledStep(found, plan.rows, adam, sticking_the_landing, 100)
        step.begin(torch.full((1,), 1e-3, dtype=torch.float64), torch.ones(1))
        step(torch.arange(100), torch.randn(1, 100, 2, generator=torch.Generator().manual_seed(0)))
        moments = dict(zip([n for n, p in found.named_parameters() if p.requires_grad], adam.first, strict=True))
        of_q = {n: float(m.abs().max()) for n, m in moments.items() if n.startswith("posterior")}
        assert max(of_q.values()) < 1e-6, of_q
        assert max(float(m.abs().max()) for n, m in moments.items() if n.startswith("likelihood")) > 1e-3


WIDE_X = RNG.normal(size=(320, 5)) @ RNG.normal(size=(5, 80)) + 0.1 * RNG.normal(size=(320, 80))
WIDE: dict[str, Any] = {"hidden": (96,), "batch_size": 160, "likelihood": "normal", "scale": 1.0}


def test_products_in_bf16_round_their_factors_and_nothing_else():
    """The rewritten step beside the rule written out: large products of rounded factors, all else to the last bit."""

    def both(x: torch.Tensor, w: torch.Tensor, v: torch.Tensor, w_short: torch.Tensor) -> tuple[torch.Tensor, ...]:
        h = torch.addmm(torch.ones(96), x, w.t())
        return h, h @ v, h.t() @ x, h.relu()

    with drawing_from(stream(0, "weights")):
        x, w, v = torch.randn(160, 80), torch.randn(96, 80), torch.randn(96, 5)
    graph = make_fx(both, tracing_mode="fake")(x, w, v, w.bfloat16())
    given = [node for node in graph.graph.nodes if node.op == "placeholder"]
    shorten(graph.graph, {given[1]: given[3]})
    graph.recompile()
    # The shadow is what enters, not the weight: here a weight of other values, to tell them apart.
    h, small, _, relu = graph(x, torch.full_like(w, torch.nan), v, w.bfloat16())
    exact = x.bfloat16().double() @ w.bfloat16().double().T
    assert ((h.double() - 1 - exact).abs() <= exact.abs() * 2.0**-8 + 1e-6).all()
    assert h.dtype == torch.float32
    assert torch.equal(small, h @ v), "latent-sized products stay in float32"
    assert torch.equal(relu, h.relu())


def test_what_the_log_waits_for_comes_last_but_never_reads_what_has_changed():
    """Two numbers for the log: one follows from the data and goes behind the step, one reads the weight before it."""

    def step(w: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss, size = (x * x).sum(), w.view(-1)[:2].sum()
        w.sub_(x.exp().sum())
        return loss, size

    given = torch.arange(4.0), torch.ones(3)
    traced = make_fx(step, tracing_mode="fake")(*given)
    put_off(traced.graph)
    traced.recompile()
    order = [str(node.target) for node in traced.graph.nodes if node.op == "call_function"]
    assert order.index("aten.mul.Tensor") > order.index("aten.sub_.Tensor") > order.index("aten.slice.Tensor")
    loss, size = traced(given[0].clone(), given[1])
    assert (float(loss), float(size)) == (3.0, 1.0)


def test_a_piece_of_what_is_written_to_through_a_view_is_not_put_off():
    def step(w: torch.Tensor) -> torch.Tensor:
        size = w.split(2)[1].sum()
        w.view(-1).sub_(1.0)
        return size

    traced = make_fx(step, tracing_mode="fake")(torch.arange(4.0))
    put_off(traced.graph)
    traced.recompile()
    assert float(traced(torch.arange(4.0))) == 5.0


def test_convolutions_in_bf16_round_their_factors_and_nothing_else():
    """The same of a convolution and its gradients, and of the sum of a gradient over rows; few channels stay as is."""

    def both(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, few: torch.Tensor) -> tuple[torch.Tensor, ...]:
        w = w.detach().requires_grad_()
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            y = torch.nn.functional.conv2d(x, w, b, padding=1)
        return y, *torch.autograd.grad(y, (x, w), y.detach()), torch.nn.functional.conv2d(x, few)

    with drawing_from(stream(0, "weights")):
        given = [torch.randn(s) for s in ((4, 16, 6, 5), (32, 16, 3, 3), (32,), (3, 16, 3, 3))]
    graph = make_fx(both, tracing_mode="fake")(*given)
    shorten(graph.graph, {})
    graph.recompile()
    y, dx, dw, few = graph(*given)
    x, w, b, _ = given
    short_x, short_w, slope = (t.bfloat16().double() for t in (x, w, y))
    exact = torch.nn.functional.conv2d(short_x, short_w, padding=1)
    grads = [
        conv2d_input(x.shape, short_w, slope, padding=1),
        conv2d_weight(short_x, w.shape, slope, padding=1),
    ]
    for found, right in zip((y - b[:, None, None], dx, dw), (exact, *grads), strict=True):
        assert found.dtype == torch.float32
        close = 2.0**-8 * right.abs() + 1e-4 * right.abs().max()
        assert ((found.double() - right).abs() <= close).all()
    assert torch.equal(few, torch.nn.functional.conv2d(x, given[3]))


def test_in_bf16_the_path_is_nearly_that_of_float32():
    """Gradients are off by rounding only: bounds agree to a thousandth; the weights that are kept are float32."""
    plain = states("on", WIDE_X, **WIDE, precision="float32")
    short = states("on", WIDE_X, **WIDE, precision="bf16")
    assert "note" not in short[-1].record
    for a, b in zip(plain, short, strict=True):
        assert b.record["elbo"] == pytest.approx(a.record["elbo"], rel=1e-3)
        assert b.record["elbo"] != a.record["elbo"]
    assert {t.dtype for t in short[-1].weights.values()} == {torch.float32}


@pytest.mark.slow
def test_a_mixture_in_bf16_is_compiled():
    """Where torch's compiler fails in its fusion of outer loops it is asked to do without."""
    how = {**WIDE, "latent_dim": 40, "prior": "mixture", "components": 96, "net": "gated", "max_epochs": 1}
    found = states("on", WIDE_X, **how, precision="bf16")[-1]
    assert "note" not in found.record
    assert found.record["elbo"] == pytest.approx(states("off", WIDE_X, **how)[-1].record["elbo"], rel=1e-3)


@pytest.mark.slow
def test_convolutions_in_bf16_follow_nearly_the_path_of_float32():
    how = {"net": "residual-conv", "hidden": (16, 16), "binarize": "dynamic", "max_epochs": 2}
    plain, short = (states("on", IMAGES, **how, precision=p)[-1] for p in ("float32", "bf16"))
    assert "note" not in short.record
    assert short.record["elbo"] == pytest.approx(plain.record["elbo"], rel=1e-3)
    assert short.record["elbo"] != plain.record["elbo"]


def test_in_bf16_too_the_bits_are_repeated_and_resumed_with():
    """The rounded copy is renewed from the weights: nothing of it needs keeping. 250 rows end in a smaller batch."""
    for x in (WIDE_X, WIDE_X[:250]):
        whole = states("on", x, **WIDE, precision="bf16")
        tensors, plain = whole[1].to_parts()
        rest = states("on", x, State.from_parts(copy.deepcopy(tensors), copy.deepcopy(plain)), **WIDE, precision="bf16")
        for key in ("weights", "average", "moments", "best"):
            assert same(getattr(rest[-1], key), getattr(whole[-1], key)), key


def test_steps_taken_eagerly_between_renew_the_rounded_copy(monkeypatch):
    monkeypatch.setattr(compiled, "FEW_STEPS", 0)
    mixed = states("on", WIDE_X[:250], **WIDE, precision="bf16")[-1]
    monkeypatch.undo()
    whole = states("on", WIDE_X[:250], **WIDE, precision="bf16")[-1]
    assert mixed.record["elbo"] == pytest.approx(whole.record["elbo"], rel=1e-3)


def test_code_that_gives_other_numbers_is_refused(monkeypatch):
    """A compiler that halves a factor is found out before the first step; the run goes on eagerly and says so."""

    def wrong(graph: Any, inputs: list[torch.Tensor]) -> Any:
        (first, *_) = [node for node in graph.graph.nodes if node.target is torch.ops.aten.lerp_.Scalar]
        first.args = (*first.args[:2], 0.05)
        graph.recompile()
        return graph

    monkeypatch.setattr(torch._inductor, "compile", wrong)  # type: ignore[attr-defined]
    found = states("on")
    assert "gives other numbers than uncompiled" in found[0].record["note"]
    assert same(found[-1].weights, states("off")[-1].weights)


def test_a_compiler_that_fails_costs_the_speed_and_not_the_run(monkeypatch):
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("no room left")

    monkeypatch.setattr(torch._inductor, "compile", fails)  # type: ignore[attr-defined]
    found = states("on")
    assert found[0].record["note"] == "the step could not be compiled (no room left): it runs eagerly"
    assert same(found[-1].weights, states("off")[-1].weights)


def test_asked_for_without_a_compiler_it_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "/no/such/compiler")
    with pytest.raises(ConfigError, match="compile on cannot be had: no C\\+\\+ compiler"):
        VAE(**SMALL, compile="on").plan(as_dataset(X, "x"))
    assert not VAE(**SMALL).plan(as_dataset(X, "x")).settings.engine.compiled


def test_nothing_of_the_tracing_stays_in_the_model():
    vae = VAE(**SMALL, posterior="semi-amortized")
    plan = vae.plan(as_dataset(X, "x"))
    before = {k: v.clone() for k, v in plan.model.state_dict().items()}
    CompiledStep(plan.model.train(), plan.rows, Adam(plan.model), sticking_the_landing, 100)
    assert same(plan.model.state_dict(), before)
    assert plan.model.posterior.steps is None
    held = plan.model.state_dict(keep_vars=True).values()
    assert {type(t) for t in held} <= {torch.Tensor, torch.nn.Parameter}


def test_a_likelihood_of_ones_own_is_compiled_without_being_known():
    """Nothing in the step knows a class of model: a decoder written here compiles as well."""

    class Twice(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net, self.calls = net, 0

        def forward(self, z):
            return IsotropicNormal(2 * self.net(z), torch.tensor(0.5))

        def maximize(self, log_px_z):
            pass

    vae = VAE(**SMALL)
    plan = vae.plan(as_dataset(X, "x"))
    model = LatentVariableModel(plan.model.prior, Twice(plan.model.likelihood.net), plan.model.posterior)  # type: ignore[arg-type]
    other = copy.deepcopy(model)
    places, noise = torch.arange(100), torch.randn(1, 100, 3, generator=torch.Generator().manual_seed(1))
    steps = (
        CompiledStep(model.train(), plan.rows, Adam(model), sticking_the_landing, 100),
        EagerStep(other.train(), plan.rows, Adam(other), sticking_the_landing),
    )
    found = []
    for step in steps:
        step.begin(torch.full((1,), 1e-3, dtype=torch.float64), torch.ones(1))
        found.append(step(places, noise))
    torch.testing.assert_close(found[0], found[1])
    assert isinstance(plan.rows.at(places), Batch)


def test_the_engine_of_a_run_is_kept_for_its_resumption():
    plan = VAE(**SMALL).plan(as_dataset(X, "x"))
    stored = {**plan.description["engine"], "compiled": True}
    again = VAE(**SMALL).plan(as_dataset(X, "x"), stored)
    assert again.settings == replace(plan.settings, engine=Engine(True, plan.settings.engine.precision))
    assert again.description["notes"] == plan.description["notes"]
