"""Schema: what the columns of a data set are, and in which units a density over them is quoted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

NAMED = 5
"""Names in a message before it says "and so on"."""


@dataclass(frozen=True)
class Schema:
    """The shape, the names and the units of one datum."""

    kind: str
    """"image", "table" or "array"."""
    shape: tuple[int, ...]
    """The event: (28, 28) for a grey image, (32, 32, 3) for a color one, (D,) for a row."""
    names: tuple[str, ...] = ()
    """The D column names of a table; empty where columns have none."""
    divisor: float = 1.0
    """Stored value / divisor = value in data units. Bytes of an image are divided by 255."""

    @property
    def n_columns(self) -> int:
        """D, the number of values in one datum."""
        return math.prod(self.shape)

    @property
    def unit(self) -> str:
        """The units of x, in words, as a reference measure names them."""
        if self.divisor != 1.0:
            return f"values divided by {self.divisor:g}"
        return "values as given"

    def column(self, j: int) -> str:
        """Name column j as its owner would."""
        if self.names:
            return f"column '{self.names[j]}'"
        if self.kind == "image":
            place, rest = [], j
            for size in reversed(self.shape):
                rest, i = divmod(rest, size)
                place.append(i)
            return f"pixel {tuple(reversed(place))}"
        return f"column {j}"

    def apart(self, other: Schema) -> tuple[str, str]:
        """Say of each which columns the other lacks, or has at other places; "", "" where there are none.

        Both have as many. Columns without names are taken to be those of the other, in its order.
        """
        if not (self.names and other.names) or self.names == other.names:
            return "", ""
        own = [[n for n in a.names if n not in b.names] for a, b in ((self, other), (other, self))]
        if any(own):
            return _listed(own[0]), _listed(own[1])
        mine, theirs = zip(*((a, b) for a, b in zip(self.names, other.names, strict=True) if a != b), strict=True)
        return _listed(mine), f"{_listed(theirs)}, in another order"

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` takes back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Schema:
        """Rebuild a schema from `to_json`."""
        return cls(
            kind=stored["kind"],
            shape=tuple(stored["shape"]),
            names=tuple(stored["names"]),
            divisor=float(stored["divisor"]),
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:NAMED])) + (" and so on" if len(names) > NAMED else "")
