"""Figures of a summary, as Plotly reads them: plain dicts of data and layout; every text from data is escaped.

Plotly understands a little HTML in the texts of a figure, so `<`, `>` and `&` of a label become entities there.
"""

from __future__ import annotations

import html
from itertools import pairwise
from typing import Any

from minamo.report.values import plain

COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#7f7f7f", "#b8a100", "#004d40")
"""Told apart by most eyes ("Color Universal Design", Okabe, Ito, 2008), and ten of them."""
MOST_LABELS = 20
"""More kinds of label than this are numbers on a scale, or one color."""
NAME = 36
"""Characters of a name below a narrow figure."""

Figure = dict[str, Any]


def escaped(text: object) -> str:
    """A text as Plotly shows it unchanged.

    >>> escaped("<script>")
    '&lt;script&gt;'
    """
    return html.escape(str(text), quote=False)


def figure(data: list[Figure], *, x: str, y: str, height: int = 320, **layout: Any) -> Figure:
    """A figure with titles at its axes."""
    axes = {"automargin": True, "zeroline": False}
    return {
        "data": data,
        "layout": {
            "height": height,
            "margin": {"l": 50, "r": 12, "t": 16, "b": 44},
            "xaxis": {"title": {"text": x}, **axes},
            "yaxis": {"title": {"text": y}, **axes},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "colorway": list(COLORS),
            **layout,
        },
    }


def learning(curves: dict[str, Any]) -> dict[str, Figure]:
    """ELBO, its two terms, what else judged the epochs, and what a warm-up raised; by name."""
    watched = next((w for w in ("validation", "training") if f"{w}_elbo" in curves), None)
    best = next((e for e in reversed(curves.get("best_epoch", [])) if e), None)
    found = {}
    titles = {"elbo": "ELBO", "objective": "what is maximized", "reconstruction": "J1, reconstruction", "kl": "J2, KL"}
    for name, title in titles.items():
        lines = [_line(curves["epoch"], curves[name], "while training", COLORS[4])] if name in curves else []
        if watched and f"{watched}_{name}" in curves:
            words = "validation" if watched == "validation" else "training rows, afterwards"
            lines.append(_line(curves["epoch"], curves[f"{watched}_{name}"], words, COLORS[0]))
        if not lines:
            continue
        made = figure(lines, x="epoch", y=f"{title}, nats per datum")
        made["layout"]["shapes"] = [_upright(e, "dot", "#999999") for e in curves.get("falls", [])]
        if best:
            made["layout"]["shapes"].append(_upright(best, "dash", COLORS[5]))
            side = "right" if best > curves["epoch"][-1] / 2 else "left"
            words = {
                "text": f"best: epoch {best}",
                "showarrow": False,
                "xanchor": side,
                "yanchor": "top",
                "xshift": -4 if side == "right" else 4,
            }
            made["layout"]["annotations"] = [{"x": best, "y": 1, "yref": "paper", **words}]
        if name != "kl":
            made["layout"]["yaxis"]["range"] = _without_the_start([v for line in lines for v in line["y"]])
        found[name] = made
    raised = {"kl_weight": ("weight of the KL", ""), "capacity": ("capacity", ", nats per datum")}
    for name, (words, unit) in raised.items():
        if name not in curves:
            continue
        line = _line(curves["epoch"], curves[name], words, COLORS[0])
        made = found[name] = figure([line], x="epoch", y=f"{words} in training{unit}", height=220)
        # A warm-up of 20 epochs in 1700 would be an upright line.
        moved = sum(value < max(curves[name]) for value in curves[name])
        made["layout"]["xaxis"]["range"] = [curves["epoch"][0], curves["epoch"][min(2 * moved, len(line["x"]) - 1)]]
    return found


def per_latent(latents: list[dict[str, Any]]) -> Figure:
    """One bar for each latent: its KL, or the variance of its mean where the KL is not known."""
    known = latents[0]["kl"] is not None
    bars = []
    for active, words, color in ((True, "active", COLORS[0]), (False, "collapsed", COLORS[7])):
        some = [one for one in latents if one["active"] is active]
        if some:
            bars.append(
                {
                    "type": "bar",
                    "name": words,
                    "x": [f"z{one['latent']}" for one in some],
                    "y": [one["kl"] if known else one["variance"] for one in some],
                    "marker": {"color": color},
                }
            )
    title = "KL, nats per datum" if known else "variance of the posterior mean"
    made = figure(bars, x="latent, most active first", y=title, height=280)
    made["layout"]["xaxis"]["type"] = "category"
    return made


def latent_map(seen: dict[str, Any]) -> Figure:
    """Posterior means along two latents, colored by label."""
    labels = seen.get("label")
    kinds = sorted(set(labels), key=_number_first) if labels else []
    traces = []
    if labels and len(kinds) <= MOST_LABELS:
        for i, kind in enumerate(kinds):
            places = [n for n, label in enumerate(labels) if label == kind]
            traces.append(_points(seen, places, escaped(kind), COLORS[i % len(COLORS)], i >= len(COLORS)))
    else:
        traces.append(_points(seen, range(len(seen["x"])), "data", COLORS[0], False))
    first, second = seen["latents"]
    return figure(
        traces, x=f"E[z{first}]", y=f"E[z{second}]", height=520, showlegend=len(traces) > 1, hovermode="closest"
    )


def column(one: dict[str, Any]) -> Figure:
    """The distribution of one column: data as bars, the model as a line of steps."""
    edges = one["edges"]
    middle = [(a + b) / 2 for a, b in pairwise(edges)]
    data = {"type": "bar", "name": "data", "x": middle, "y": one["data"], "marker": {"color": COLORS[4]}}
    model = {"type": "scatter", "mode": "lines", "name": "model", "x": middle, "y": one["model"],
             "line": {"shape": "hvh", "color": COLORS[5]}}  # fmt: skip
    return figure([data, model], x=escaped(shortened(one["name"])), y="share of rows", height=230, bargap=0.05)


def traversal(told: dict[str, Any], i: int) -> Figure:
    """How every column moves with latent i of a table's traversals, in model units: columns have units of their own.

    The names stand beside the figures, see `strokes`, and where the pointer is, with the value in data units.
    """
    lines = []
    for c, (name, color, dash) in enumerate(strokes(told["names"])):
        center, spread = told["center"][c], told["spread"][c]
        values = [step[c] for step in told["values"][i]]
        line = _line(told["z"][i], [(v - center) / spread for v in values], escaped(name), color)
        line["line"]["dash"] = dash
        line |= {"text": [f"{escaped(shortened(name))}: {v:.6g}" for v in values], "hoverinfo": "text"}
        lines.append(line)
    unit = "standard deviations" if told["standardized"] else "data units"
    return figure(lines, x=f"z{told['latents'][i]}", y=f"decoded, {unit}", height=280, showlegend=False)


def strokes(names: list[str]) -> list[tuple[str, str, str]]:
    """Name, color and dash of a line for each of several columns."""
    return [(n, COLORS[c % len(COLORS)], "solid" if c < len(COLORS) else "dash") for c, n in enumerate(names)]


def shortened(name: str) -> str:
    """A name that fits below an axis.

    >>> len(shortened("x" * 100))
    36
    """
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def _line(x: list[Any], y: list[Any], name: str, color: str) -> Figure:
    """Six digits of y: ten thousand epochs would else be megabytes."""
    mode = "lines" if len(x) > 1 else "markers"
    return {"type": "scatter", "mode": mode, "name": name, "x": x, "y": plain(y, 6), "line": {"color": color}}


def _points(seen: dict[str, Any], places: Any, name: str, color: str, open_mark: bool) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [seen["x"][n] for n in places],
        "y": [seen["y"][n] for n in places],
        "text": [f"row {seen['row'][n]}" for n in places],
        "hoverinfo": "text+name",
        "marker": {"size": 5, "opacity": 0.7, "color": color, "symbol": "diamond-open" if open_mark else "circle"},
    }


def _upright(x: float, dash: str, color: str) -> Figure:
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1,
            "line": {"dash": dash, "color": color, "width": 1}}  # fmt: skip


def _without_the_start(values: list[float | None]) -> list[float] | None:
    """A range in which the first steep epochs do not flatten the rest."""
    shown = sorted(v for v in values if v is not None)
    if not shown:
        return None
    floor, ceiling = shown[len(shown) // 20], shown[-1]
    margin = 0.05 * (ceiling - floor) or 1.0
    return [floor - margin, ceiling + margin]


def _number_first(label: str) -> tuple[int, float, str]:
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
