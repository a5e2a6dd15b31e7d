"""Schema: what the columns of a data set are, and in which units a density over them is quoted."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


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
