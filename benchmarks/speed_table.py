"""What benchmarks/speed.py measures, as tables and as a picture."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import results

COMMAND = "python benchmarks/speed.py"
LINES = {"float32": "-", "bf16": "--"}
"""How the bound of each precision is drawn."""


@dataclass(frozen=True)
class Case:
    """One shape of model and batch."""

    title: str
    width: int
    batch: int
    latent: int = 20
    data: str = "mnist"
    rows: int = 60_000
    wide: bool = False
    """Only against WIDE, on equal rows."""

    @property
    def columns(self) -> int:
        """D."""
        return 784 if self.data == "mnist" else 64

    def work(self, rows: int) -> dict[str, Any]:
        """What the workers are told."""
        return {
            "width": self.width,
            "latent": self.latent,
            "batch": self.batch,
            "data": self.data,
            "rows": rows,
        }


@dataclass
class Entry:
    """A contender in a case, and what was measured."""

    label: str
    ready: float
    note: str
    first: float
    rows: int
    seconds: list[float] = field(default_factory=list)
    elbo: float = 0.0
    peak_mb: float = 0.0

    @property
    def rates(self) -> list[float]:
        """Samples/s in each round."""
        return [self.rows / s for s in self.seconds]


@dataclass
class Outcome:
    """What a case gave."""

    case: Case
    entries: list[Entry]
    bounds: dict[str, list[float]]
    """Precision -> samples/s of the products alone, in each round."""


def table(outcome: Outcome) -> str:
    """The section's part on one case."""
    lines = [
        "| | rows an epoch | samples/s, median (range) | minamo is faster, times | ELBO, last epoch "
        "| start-up, s (ready + first epoch) | peak memory, MB |\n|---|---|---|---|---|---|---|\n"
    ]
    base, apart = outcome.entries[0], 0.0
    for entry in outcome.entries:
        if entry.label == "minamo":
            base = entry
        apart = max(apart, abs(entry.elbo - base.elbo))
        ratio = spread([s / own for s, own in zip(entry.seconds, base.seconds, strict=True)], ".2f")
        lines.append(
            f"| {entry.label} | {entry.rows:,} | {spread(entry.rates, ',.0f')} | {'' if entry is base else ratio} "
            f"| {entry.elbo:.2f} | {entry.ready + entry.first:.1f} ({entry.ready:.1f} + {entry.first:.1f}) "
            f"| {entry.peak_mb:,.0f} |\n"
        )
    # Anything but one model on equal work would show here.
    notes = [f"ELBOs on equal rows lie within {apart:.2f} nats of minamo's."]
    for precision, rates in outcome.bounds.items():
        shares = []
        for entry in outcome.entries:
            if entry.rows == outcome.entries[0].rows and entry.label.startswith("minamo"):
                share = spread([a / b for a, b in zip(entry.rates, rates, strict=True)], ".2f")
                shares.append(f"{entry.label} reaches {share} of it")
        notes.append(f"Products alone in {precision}: {spread(rates, ',.0f')} samples/s; {'; '.join(shares)}.")
    notes += [f"{entry.label}: {entry.note}." for entry in outcome.entries[:2] if entry.note]
    return f"### {outcome.case.title}\n\n{''.join(lines)}\n" + "\n".join(notes) + "\n"


def spread(values: Iterable[float], form: str) -> str:
    """Median (smallest to largest)."""
    low, *_, high = ordered = sorted([*values] * 2)
    return f"{statistics.median(ordered):{form}} ({low:{form}} to {high:{form}})"


def caption(epochs: int) -> str:
    """What holds for all tables."""
    return (
        f"{results.circumstances(COMMAND)}; {epochs} epochs of each after a first one, "
        "in turn, each contender in a process of its own. One model for all: ReLU, Bernoulli on logits and grey "
        "values, N(0, I), one draw, Adam 1e-3. Contenders on fewer rows an epoch are compared with minamo on as few, "
        "in speed, ELBO and start-up. Ratios are medians over rounds. ELBO: nats per datum, mean over the last epoch's "
        "training batches. Ready: from the start of the process, imports and data included; nothing compiled is kept "
        "from another process.\n"
    )


def draw(outcomes: list[Outcome], path: Path) -> None:
    """Bars of samples/s, a panel for each case, the bounds set by the matrix products alone as lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    heights = [len(bars(o)) + 1.6 for o in outcomes]
    figure, axes = plt.subplots(
        len(outcomes), 1, figsize=(9, 0.25 * sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axis, outcome in zip(axes[:, 0], outcomes, strict=True):
        entries = bars(outcome)[::-1]
        rates = [statistics.median(e.rates) for e in entries]
        colors = ["#1f5f8b" if e.label.startswith("minamo") else "#b8bec4" for e in entries]
        drawn = axis.barh([e.label for e in entries], rates, color=colors)
        axis.bar_label(drawn, [f"{r:,.0f}" for r in rates], padding=3, fontsize=9)
        bounds = {precision: statistics.median(outcome.bounds[precision]) for precision in LINES}
        for precision, style in LINES.items():
            label = f"matrix products alone, {precision}"
            axis.axvline(bounds[precision], color="#c0392b", linewidth=1.2, linestyle=style, label=label)
        axis.set_xlim(0, 1.13 * max(*bounds.values(), *rates))
        axis.set_title(f"{outcome.case.title}: samples/s", fontsize=10, loc="left")
        axis.tick_params(labelsize=9)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=9, frameon=False
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def bars(outcome: Outcome) -> list[Entry]:
    """The entries that are drawn: minamo on fewer rows is there for the table."""
    seen: set[str] = set()
    return [e for e in outcome.entries if not (e.label in seen or seen.add(e.label))]
