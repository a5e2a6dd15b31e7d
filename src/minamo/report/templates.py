"""The templates of a page and of a card: every text is escaped, and a number is written in one way."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from minamo.evidence import Measure
from minamo.report.figures import shortened


def number(value: Any, digits: int = 5) -> str:
    """A number that has no error; nothing for one that is not known."""
    return "" if value is None else (str(value) if isinstance(value, int | str) else f"{value:.{digits}g}")


def measure(told: dict[str, Any]) -> str:
    """Value ± standard error of a `Measure` that was made plain, as the measure itself would say it.

    >>> measure({"value": -84.6123, "se": 0.31, "n": 100, "unit": "nats/datum"})
    '-84.61 ± 0.31'
    """
    return "not finite" if told["value"] is None else str(Measure.from_json(told))


@cache
def environment() -> Environment:
    """Of all templates in this folder."""
    made = Environment(
        loader=PackageLoader("minamo.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["number"] = number
    made.filters["measure"] = measure
    made.filters["shortened"] = shortened
    return made
