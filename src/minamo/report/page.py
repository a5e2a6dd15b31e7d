"""A summary as one HTML page that needs nothing but itself; every text is escaped by the template or by `figures`."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

import numpy as np

from minamo.report import figures
from minamo.report.pictures import grid, pairs
from minamo.report.templates import environment, number
from minamo.report.values import images

PARTS = ("evidence", "latents", "map", "pairs", "columns", "worst", "samples", "traversals", "components", "forecast")
"""What a summary has where there is a model."""
SHEETS = ("pairs", "samples", "traversals", "components", "worst")
LINES = 12
"""Epochs whose numbers stand below the curves."""


def render(summary: dict[str, Any]) -> str:
    """Return the page of one run, from what `summarize` says of it."""
    return _page([summary], [])


def render_side_by_side(summaries: list[dict[str, Any]], comparisons: list[dict[str, Any]]) -> str:
    """Return the page of several runs, the paired differences first.

    Args:
        summaries: one for each run.
        comparisons: from `versus.differences`.
    """
    return _page(summaries, comparisons)


def _page(summaries: list[dict[str, Any]], comparisons: list[dict[str, Any]]) -> str:
    drawn: dict[str, Any] = {}
    runs = [_run(summary, f"r{i}", drawn) for i, summary in enumerate(summaries)]
    template = environment().get_template("page.html")
    return template.render(
        title=" and ".join(s["name"] for s in summaries),
        runs=runs,
        comparisons=comparisons,
        figures=drawn,
        plotly=plotly_js() if drawn else "",
    )


@cache
def plotly_js() -> str:
    """The whole of plotly.js, 4.8 MB, fit to stand inside a script element."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().replace("</script", "<\\/script")


def _run(summary: dict[str, Any], key: str, drawn: dict[str, Any]) -> dict[str, Any]:
    """What the template shows of a run; its figures go to `drawn` by their id."""

    def draw(name: str, figure: figures.Figure, label: str) -> dict[str, str]:
        # Sections have ids of their own.
        drawn[f"{key}-chart-{name}"] = figure
        return {"id": f"{key}-chart-{name}", "label": label, "height": figure["layout"]["height"]}

    summary = {**dict.fromkeys(PARTS), **summary}
    told: dict[str, Any] = {"key": key, "s": summary, "per_latent": None, "map": None}
    told |= {name: [] for name in ("curves", "lines", "columns", "moves", "strokes")}
    if summary["curves"]:
        titles = {"elbo": "ELBO", "kl": "KL", "kl_weight": "weight of the KL", "capacity": "capacity"}
        for name, figure in figures.learning(summary["curves"]).items():
            told["curves"].append(draw(name, figure, f"Line chart: {titles.get(name, name)} by epoch"))
        told["lines"] = _lines(summary["curves"])
    if summary.get("latents"):
        told["per_latent"] = draw("latents", figures.per_latent(summary["latents"]), "Bar chart: KL of each latent")
        told["active"] = sum(one["active"] for one in summary["latents"])
    if summary.get("map"):
        label = f"Scatter plot: {len(summary['map']['x'])} data along the two most active latents"
        told["map"] = draw("map", figures.latent_map(summary["map"]), label)
    for i, one in enumerate((summary.get("columns") or {}).get("columns", [])):
        label = f"Histogram of {one['name']}: data and model"
        told["columns"].append({**draw(f"column{i}", figures.column(one), label), "one": one})
    told["pictures"] = _pictures(summary)
    moves = summary.get("traversals")
    if moves and "values" in moves:
        told["strokes"] = figures.strokes(moves["names"])
        for i, j in enumerate(moves["latents"]):
            told["moves"].append(draw(f"move{i}", figures.traversal(moves, i), f"Line chart: columns as z{j} moves"))
    return told


def _pictures(summary: dict[str, Any]) -> dict[str, str | None]:
    """PNG sheets as data URLs, by name; None where there are none."""
    found: dict[str, bytes] = {}
    both = summary.get("pairs") or {}
    if "real" in both:
        found["pairs"] = pairs(images(both["real"]), images(both["again"]), tuple(both["real"]["shape"]))
    new = summary.get("samples") or {}
    if "pixels" in new:
        found["samples"] = grid(images(new), tuple(new["shape"]))
    for name in ("traversals", "components"):
        kept = (summary.get(name) or {}).get("sheet")
        if kept:
            across = len(summary[name]["z"][0]) if name == "traversals" else None
            found[name] = grid(images(kept), tuple(kept["shape"]), across)
    low = summary.get("worst") or {}
    if "real" in low:
        found["worst"] = pairs(images(low["real"]), images(low["again"]), tuple(low["real"]["shape"]))
    urls = {name: "data:image/png;base64," + base64.b64encode(png).decode() for name, png in found.items()}
    return {**dict.fromkeys(SHEETS), **urls}


def _lines(curves: dict[str, Any]) -> list[list[str]]:
    """Some epochs as numbers, the first, the last and the best among them, below a line of titles."""
    names = [
        n
        for n in (
            *("epoch", "elbo", "reconstruction", "kl", "validation_elbo", "training_elbo"),
            *("validation_objective", "training_objective", "kl_weight", "capacity"),
        )
        if n in curves
    ]
    n = len(curves["epoch"])
    places = set(np.linspace(0, n - 1, min(n, LINES)).round().astype(int).tolist())
    best = (curves.get("best_epoch") or [None])[-1]
    places |= {i for i, e in enumerate(curves["epoch"]) if e == best}
    return [names, *([number(curves[name][i]) for name in names] for i in sorted(places))]
