"""Two models on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from minamo.errors import DataError
from minamo.evidence.measures import Measure

TOLD = 2.0
"""Standard errors by which one model must lead before it is called better."""


@dataclass(frozen=True)
class Comparison:
    """By how much the log p of one model exceeds that of the other, paired row by row."""

    difference: Measure
    """The first less the second."""
    names: tuple[str, str]
    bound: str
    """What stands for log p."""

    @property
    def better(self) -> str | None:
        """The name of the better model, or None where the error does not allow one to be told."""
        d = self.difference
        if d.se is None or abs(d.value) <= TOLD * d.se:
            return None
        return self.names[d.value < 0]

    def to_json(self) -> dict[str, Any]:
        """Return `{"difference": {...}, "first", "second", "better", "bound"}`."""
        first, second = self.names
        return {
            "difference": self.difference.to_json(),
            "first": first,
            "second": second,
            "better": self.better,
            "bound": self.bound,
        }

    def __str__(self) -> str:
        """A is better by 0.42 ± 0.05 nats."""
        of = f"({self.bound}, {self.difference.n} data, paired)"
        if self.better is None:
            return f"{self.names[0]} and {self.names[1]} cannot be told apart: {self.difference} nats/datum {of}"
        lead = self.difference.scaled(-1.0 if self.difference.value < 0 else 1.0, self.difference.unit)
        return f"{self.better} is better by {lead} nats/datum {of}"


def compare(first: Tensor, second: Tensor, names: tuple[str, str] = ("A", "B"), bound: str = "log p") -> Comparison:
    """Compare two models by their log p of the same rows, in the same order.

    The standard error is that of the mean difference: what makes some data hard for both models cancels.

    Args:
        first: [N], nats.
        second: [N], nats, over the same units.
        names: of the models.
        bound: what the numbers are.

    Raises:
        DataError: the numbers of rows differ.

    >>> import torch
    >>> print(compare(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.5, 1.6, 3.4])))
    A is better by 0.500 ± 0.058 nats/datum (log p, 3 data, paired)
    """
    if first.shape != second.shape or first.dim() != 1:
        raise DataError(
            f"expected log p of the same rows from both models; got {list(first.shape)} of {names[0]} and "
            f"{list(second.shape)} of {names[1]}"
        )
    return Comparison(Measure.mean_of(first.double() - second.double(), "nats/datum"), names, bound)
