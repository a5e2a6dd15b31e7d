"""Which step a run takes, and with which products: chosen before the first, from the work that lies ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minamo.errors import ConfigError
from minamo.families import Flow
from minamo.model import LatentVariableModel
from minamo.training.compiled import compiler
from minamo.training.precision import gain, has_bf16

COMPILE = ("auto", "on", "off")
PRECISIONS = ("auto", "float32", "bf16")
COMPILING = 8.0
"""Seconds that compiling takes where nothing like it was compiled before; a third of it later."""
SAVED_PER_STEP = 0.5e-3
"""Seconds that a compiled step saves by calling Python and autograd less..."""
SAVED_OF_PRODUCTS = 0.15
"""...and by passing over memory less often, as a share of the time of its matrix products..."""
FLOPS = 2e11
"""...at so many operations a second. Rounded from benchmarks/choices.py."""
WORTH_MEASURING = 2e12
"""Floating-point operations ahead from which it is worth a second to measure bf16: some ten seconds of products."""
CLEARLY = 1.2
"""bf16 is taken where it is faster by this factor: it is either much faster or not at all, so noise decides nothing."""


@dataclass(frozen=True)
class Engine:
    """How steps are run."""

    compiled: bool = False
    precision: str = "float32"
    """Of matrix products: "float32", or "bf16" with float32 sums. All else is float32 in either case."""


def choose_engine(
    model: LatentVariableModel, compile_word: str, precision_word: str, batch_size: int, steps_ahead: int
) -> tuple[Engine, str]:
    """Return the engine for a run, and why.

    Args:
        model: to be trained.
        compile_word: one of COMPILE.
        precision_word: one of PRECISIONS.
        batch_size: rows in a step.
        steps_ahead: how many steps the run will take, as far as that is known.

    Raises:
        ConfigError: what was asked for cannot be had here.
    """
    shapes = [tuple(p.shape) for p in model.parameters() if p.dim() == 2]
    work = 6 * batch_size * sum(math.prod(s) for s in shapes)
    compiled, why_step = _compiled(
        model, compile_word, steps_ahead * (SAVED_PER_STEP + SAVED_OF_PRODUCTS * work / FLOPS)
    )
    precision, why_products = _precision(precision_word, shapes, batch_size, steps_ahead * work)
    step = "compiled" if compiled else "eager"
    return Engine(compiled, precision), f"step {step} ({why_step}), matrix products in {precision} ({why_products})"


def _compiled(model: LatentVariableModel, word: str, saved: float) -> tuple[bool, str]:
    if word == "off":
        return False, "as asked"
    flow = any(isinstance(m, Flow) for m in model.modules())
    if word == "on":
        if flow:
            raise ConfigError("compile on cannot be had with a flow, whose coupling cannot be traced; compile auto")
        if compiler() is None:
            raise ConfigError("compile on needs a C++ compiler (g++ or clang++, or one named in CXX); compile auto")
        return True, "as asked"
    if saved < COMPILING:
        return False, f"compiling would save some {saved:.0f} s and cost as much"
    if flow:
        return False, "the coupling of a flow cannot be traced"
    if compiler() is None:
        return False, "no C++ compiler, or compiling is switched off"
    return True, f"saves some {saved:.0f} s or more"


def _precision(word: str, shapes: list[tuple[int, ...]], batch_size: int, work: float) -> tuple[str, str]:
    if word != "auto":
        if word == "bf16" and not has_bf16():
            raise ConfigError(
                "precision bf16 needs a processor whose matrix products take it (AMX): choose auto or float32"
            )
        return word, "as asked"
    if not has_bf16():
        return "float32", "torch has no bf16 products on this processor"
    if work < WORTH_MEASURING:
        return "float32", "too little work to measure another"
    faster = gain(shapes, batch_size)
    return ("bf16" if faster > CLEARLY else "float32"), f"bf16 measured {faster:.2f} times as fast"
