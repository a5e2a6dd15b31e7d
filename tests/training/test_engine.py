"""Which step and which products a run takes; subnormal numbers."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from minamo import VAE, fast_cpu
from minamo.data import as_dataset
from minamo.errors import ConfigError
from minamo.randomness import drawing_from, stream
from minamo.training import Engine, choose_engine, engine
from minamo.training.precision import Products, gain

X = np.random.default_rng(0).normal(size=(300, 6))


def model(**how: Any):
    return VAE(latent_dim=3, **how).plan(as_dataset(X, "x")).model


@pytest.fixture
def with_a_compiler(monkeypatch):
    monkeypatch.setattr(engine, "compiler", lambda: "g++")


def test_a_long_run_is_compiled_and_a_short_one_is_not(with_a_compiler):
    """More steps, or more work in each, repay compiling; the words say what was weighed."""
    chosen = [choose_engine(model(), "auto", "float32", 128, n) for n in (100, 100_000)]
    assert [e.compiled for e, _ in chosen] == [False, True]
    assert "compiling would save some 0 s and cost as much" in chosen[0][1]
    assert choose_engine(model(hidden=(2000, 2000)), "auto", "float32", 2048, 500)[0].compiled
    assert not choose_engine(model(hidden=(16,)), "auto", "float32", 2048, 500)[0].compiled


def test_the_same_choice_every_time():
    """Nothing that is timed decides between two kinds of step, so that one seed gives one run."""
    plans = [VAE(latent_dim=3).plan(as_dataset(X, "x")) for _ in range(3)]
    assert len({p.description["engine"]["said"] for p in plans}) == 1


@pytest.mark.parametrize(("name", "word"), [("compile", "of"), ("precision", "float16")])
def test_an_unknown_word_is_refused(name, word):
    with pytest.raises(ConfigError, match=f"unknown {name} '{word}'"):
        VAE(**{name: word}).plan(as_dataset(X, "x"))


def test_bf16_is_taken_only_where_it_is_clearly_faster(with_a_compiler, monkeypatch):
    for ratio, word in ((3.0, "bf16"), (1.1, "float32"), (0.5, "float32")):
        monkeypatch.setattr(engine, "gain", lambda *_, ratio=ratio, **how: ratio)
        found, said = choose_engine(model(hidden=(400, 400)), "auto", "auto", 128, 10**5)
        assert found == Engine(True, word)
        assert f"measured {ratio:.2f} times as fast" in said
        # What bf16 saves counts, too, when compiling is weighed: here it decides.
        assert choose_engine(model(hidden=(2000, 2000)), "auto", "auto", 512, 400)[0].compiled == (word == "bf16")


def test_nothing_is_measured_for_little_work(with_a_compiler, monkeypatch):
    monkeypatch.setattr(engine, "gain", lambda *_, **how: pytest.fail("measured"))
    assert choose_engine(model(hidden=(16,)), "auto", "auto", 128, 10**4)[0].precision == "float32"


def test_bf16_as_asked_takes_the_compiled_step_or_says_why_not(with_a_compiler, monkeypatch):
    found, said = choose_engine(model(), "auto", "bf16", 128, 10)
    assert found == Engine(True, "bf16")
    assert said == "step compiled (for bf16), matrix products in bf16 (as asked)"
    with pytest.raises(ConfigError, match="bf16 cannot be had with compile off"):
        choose_engine(model(), "off", "bf16", 128, 10)
    monkeypatch.setattr(engine, "compiler", lambda: None)
    with pytest.raises(ConfigError, match=r"precision bf16, .* cannot be had: no C\+\+ compiler"):
        choose_engine(model(), "auto", "bf16", 128, 10)


def test_the_measured_gain_is_that_of_the_products():
    """Large products only: where every one has a small size, nothing is rounded and nothing gained."""
    assert gain(Products(((40, 2000), (2000, 40))), 128, seconds=0.2) == pytest.approx(1.0, abs=0.3)
    assert gain(Products((), ((3, 3, 196),)), 128, seconds=0.2) == pytest.approx(1.0, abs=0.3)
    assert gain(Products(((256, 256),), ((16, 16, 49),)), 32, seconds=0.05) > 0


def test_the_work_of_a_step_is_counted_by_torch_too():
    """Forward and backward of encoder and decoder, beside torch's own counter; the data's gradient is not taken."""
    images = np.random.default_rng(0).random((20, 12, 10))
    for how in ({"net": "residual-conv", "hidden": (4, 6)}, {"net": "mlp", "hidden": (16,)}):
        plan = VAE(latent_dim=3, **how).plan(as_dataset(images, "x"))
        batch = plan.rows.at(torch.arange(5))
        with FlopCounterMode(display=False) as counter, drawing_from(stream(0, "draw")):
            plan.model.draw(batch).log_px_z.sum().backward()
        first = next(p for p in plan.model.posterior.parameters() if p.dim() > 1 and p.shape[1] in (1, 120))
        places = 30 if first.dim() == 4 else 1
        assert counter.get_total_flops() == 5 * (Products.of(plan.model).work - 2 * places * first.numel())


def halved_everywhere() -> set[int]:
    """Halve the smallest normal number in a large tensor: {0} where all threads flush, a subnormal where none does."""
    tiny = torch.full((4_000_000,), 1.2e-38)
    # Compared bit by bit: a comparison of floats would flush, too.
    return set((tiny * 0.5).view(torch.int32).unique().tolist())


def test_fast_cpu_reaches_every_thread_and_ends():
    """Threads that are there already take the switch, and give it back; blocks nest."""
    before = halved_everywhere()
    assert before != {0}
    with fast_cpu():
        assert halved_everywhere() == {0}
        with fast_cpu():
            assert halved_everywhere() == {0}
        assert halved_everywhere() == {0}
    assert halved_everywhere() == before
    with pytest.raises(KeyError), fast_cpu():
        raise KeyError
    assert halved_everywhere() == before


def test_a_thread_of_ones_own_is_left_alone():
    found: list[set[int]] = []
    with fast_cpu():
        pass
    worker = threading.Thread(target=lambda: found.append(halved_everywhere()))
    worker.start()
    worker.join()
    assert found[0] != {0}
