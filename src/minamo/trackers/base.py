"""What every tracker obeys: it repeats what the run directory says, and finds its own place in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, ClassVar

from minamo.errors import ConfigError
from minamo.run import Run

CHOSEN = ("latent_dim", "likelihood", "source", "fingerprint", "minamo", "torch", "python", "threads")
"""What stands beside the parameters in the configuration of a run; what was chosen stands in for "auto"."""


class Tracker(ABC):
    """Shows a run elsewhere, from what its directory holds: the log is the truth.

    `begin`, `follow` any number of times, `finish` if the run is measured, `end`. A tracker may begin again, in the
    same process or another: it then goes on without a gap and with nothing twice, whatever it had seen before.

    Args:
        run: what is shown.
    """

    name: ClassVar[str]
    """Its word, and that of the extra which brings what it needs."""
    needs: ClassVar[tuple[str, ...]]
    """Packages."""

    def __init__(self, run: Run):
        self.run = run

    @classmethod
    def require(cls) -> None:
        """Raise ConfigError if a package is not there; none is imported."""
        missing = [package for package in cls.needs if find_spec(package) is None]
        if missing:
            raise ConfigError(f"tracker {cls.name} needs {', '.join(missing)}: pip install 'minamo[{cls.name}]'")

    @abstractmethod
    def begin(self) -> str | None:
        """Find or make the place of this run, and put its parameters and notes there.

        Returns:
            A sentence where the place that it had is not there and another was made, else None.
        """

    @abstractmethod
    def follow(self, lines: Sequence[dict[str, Any]]) -> None:
        """Take up those lines of the whole log that are not there yet."""

    @abstractmethod
    def finish(self, measured: dict[str, Any]) -> None:
        """Add what fit measured at its end (`Evidence.to_json()` and `epochs`), and the files that it wrote."""

    @abstractmethod
    def end(self, how: str) -> None:
        """Close; `how` is "finished", "stopped" or "failed"."""


def numbers(line: dict[str, Any]) -> dict[str, float]:
    """Every number of a line of the log by its name; the epoch is the step of each.

    >>> numbers({"epoch": 3, "elbo": -9.5, "waited": 0, "note": "eager"})
    {'elbo': -9.5, 'waited': 0}
    """
    return {k: v for k, v in line.items() if k != "epoch" and isinstance(v, int | float) and not isinstance(v, bool)}


def measures(measured: dict[str, Any]) -> dict[str, float]:
    """The measures that fit reports and their standard errors, in the measures' own units.

    >>> measures({"elbo": {"value": -8.5, "se": 0.5, "n": 180, "unit": "nats/datum"}, "samples": 100})
    {'evidence/elbo': -8.5, 'evidence/elbo_se': 0.5}
    """
    found = {}
    for name, one in measured.items():
        if isinstance(one, dict) and one.get("value") is not None:
            found[f"evidence/{name}"] = one["value"]
            if one["se"] is not None:
                found[f"evidence/{name}_se"] = one["se"]
    return found


def facts(config: dict[str, Any]) -> dict[str, float | str]:
    """The parameters of a run, with what was chosen for them, its data's fingerprint and versions; no empty ones."""
    found = {**config["params"], **{name: config[name] for name in CHOSEN if name in config}}
    return {name: _plain(value) for name, value in found.items() if value is not None}


def _plain(value: Any) -> float | str:
    if isinstance(value, list | tuple):
        return ",".join(str(v) for v in value)
    return value if isinstance(value, int | float) else str(value)


def notes(config: dict[str, Any]) -> str:
    """What was chosen and why, as a list in Markdown."""
    return "\n".join(f"- {note}" for note in config.get("notes") or ())
