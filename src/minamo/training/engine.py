"""Which step a run takes, and with which products: chosen before the first, from the work that lies ahead."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils._triton import has_triton

from minamo.errors import ConfigError
from minamo.model import LatentVariableModel
from minamo.training.compiled import compiler
from minamo.training.device import CPU
from minamo.training.precision import Products, gain

COMPILE = ("auto", "on", "off")
PRECISIONS = ("auto", "float32", "tf32", "bf16")
COMPILING, ONE_MORE = 8.5, 5.5
"""Seconds that compiling takes where nothing like it was compiled before, and for another size of batch; a third of it
later."""
SAVED_PER_STEP = 1.5e-3
"""Seconds that a compiled step saves by calling Python and autograd less..."""
SAVED_OF_PRODUCTS = 0.15
"""...and by passing over memory less often, as a share of the time of its matrix products..."""
SAVED_BY_BF16 = 1 / 3
"""...and, where bf16 is taken, as another share of that time, at least..."""
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
    """Of the large matrix products: "float32", "tf32" on a graphics card, or "bf16", which takes a compiled step. All
    else is float32."""


def choose_engine(
    model: LatentVariableModel,
    compile_word: str,
    precision_word: str,
    batch_size: int,
    steps_ahead: int,
    graphs: int = 1,
    device: torch.device = CPU,
) -> tuple[Engine, str]:
    """Return the engine for a run, and why.

    Args:
        model: to be trained.
        compile_word: one of COMPILE.
        precision_word: one of PRECISIONS.
        batch_size: rows in a step.
        steps_ahead: how many steps the run will take, as far as that is known.
        graphs: sizes of batch to be compiled; see `compiled_sizes`.
        device: where.

    Raises:
        ConfigError: what was asked for cannot be had here.
    """
    products = Products.of(model)
    work = batch_size * products.work
    obstacle, plain = _obstacle(device), "tf32" if precision_word == "tf32" else "float32"
    if precision_word == "tf32" and device == CPU:
        raise ConfigError("precision tf32 is one of graphics cards: on a processor say float32, bf16 or auto")
    if compile_word == "off" and precision_word == "bf16":
        raise ConfigError("precision bf16 cannot be had with compile off: only the compiled step has such products")
    if compile_word == "on" or precision_word == "bf16":
        if obstacle:
            asked = "compile on" if compile_word == "on" else "precision bf16, a matter of the compiled step,"
            raise ConfigError(f"{asked} cannot be had: {obstacle}; compile auto and precision auto do without")
    elif compile_word == "off" or obstacle:
        return Engine(False, plain), f"step eager ({obstacle or 'as asked'}), matrix products in {plain}"
    precision, why_products = _precision(precision_word, products, batch_size, steps_ahead * work, device)
    # On a graphics card products are not what a step waits for: they count for nothing there.
    seconds = work / FLOPS if device == CPU else 0.0
    saved = steps_ahead * (SAVED_PER_STEP + SAVED_OF_PRODUCTS * seconds)
    if precision == "bf16":
        saved += SAVED_BY_BF16 * steps_ahead * seconds
    if compile_word == "on" or precision_word == "bf16":
        why_step = "as asked" if compile_word == "on" else "for bf16"
    elif saved < COMPILING + (graphs - 1) * ONE_MORE:
        said = f"step eager (compiling would save some {saved:.0f} s and cost as much), matrix products in {plain}"
        return Engine(False, plain), said
    else:
        why_step = f"saves some {saved:.0f} s or more"
    return Engine(True, precision), f"step compiled ({why_step}), matrix products in {precision} ({why_products})"


def _obstacle(device: torch.device) -> str | None:
    """Why a step cannot be compiled here, or None."""
    if device.type == "cuda" and not has_triton():
        return "triton was not found, by which torch compiles for a graphics card"
    if compiler() is None:
        return "no C++ compiler was found (g++ or clang++, or one named in CXX), or compiling is switched off"
    return None


def _precision(word: str, products: Products, batch_size: int, work: float, device: torch.device) -> tuple[str, str]:
    if word != "auto":
        return word, "as asked"
    if work < WORTH_MEASURING:
        return "float32", "too little work to measure another"
    faster = gain(products, batch_size, device=device)
    return ("bf16" if faster > CLEARLY else "float32"), f"bf16 measured {faster:.2f} times as fast"
