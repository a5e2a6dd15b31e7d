"""Prepare: from stored values to the numbers the model sees, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minamo.data.binarize import binarize
from minamo.data.facts import Facts


@dataclass(frozen=True)
class Prepare:
    """x_model = (stored / divisor - center) / spread, after binarization where it is asked for.

    The density is quoted over data units, stored / divisor, so every log-density of the model gains
    `log_det`, the log-determinant of the affine map.
    """

    divisor: float = 1.0
    center: Tensor | None = None
    """[D], float64, or None for no standardization."""
    spread: Tensor | None = None
    """[D], float64, positive."""
    binarize: str = "none"
    """"none"; "dynamic": drawn afresh at each call; "fixed": drawn once, before the rows are resident."""

    @classmethod
    def standardizing(cls, facts: Facts, divisor: float) -> Prepare:
        """Zero mean and unit variance for each column; a constant column is only centered."""
        spread = np.where(facts.var > 0, np.sqrt(facts.var), 1.0)
        return cls(divisor, torch.from_numpy(facts.mean.copy()), torch.from_numpy(spread))

    @property
    def log_det(self) -> float:
        """Log |d x_model / d x|, nats: -sum_j log spread_j."""
        return 0.0 if self.spread is None else -float(self.spread.log().sum())

    def drawn(self, stored: Tensor) -> Tensor:
        """Binarize stored rows where that is dynamic: 0 and 1, bytes; other rows are as they were."""
        return binarize(stored, self.divisor) if self.binarize == "dynamic" else stored

    def to_model(self, drawn: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Stored rows [B, D], binarized where they are to be, -> model units [B, D]."""
        if self.binarize == "dynamic":
            return drawn.to(dtype)
        if self.center is None or self.spread is None:
            x = drawn.to(dtype)
            # A product: divisions were a tenth of a compiled step. The same float but for its last bit.
            return x if self.divisor == 1.0 else x * (1.0 / self.divisor)
        # Centered in float64: a column of dates would lose its digits in float32.
        return ((drawn.double() / self.divisor - self.center) / self.spread).to(dtype)

    def on(self, device: torch.device) -> Prepare:
        """The same, computed on a device."""
        center, spread = (None if t is None else t.to(device) for t in (self.center, self.spread))
        return Prepare(self.divisor, center, spread, self.binarize)

    def to_data(self, x: Tensor) -> Tensor:
        """Model units -> data units, in float64."""
        if self.center is None or self.spread is None:
            return x.double()
        return x.double() * self.spread + self.center

    def moments(self, facts: Facts) -> tuple[Tensor, Tensor]:
        """Mean and variance [D] of the training rows in model units, float32."""
        mean, var = torch.from_numpy(facts.mean), torch.from_numpy(facts.var)
        if self.binarize != "none":
            var = mean * (1 - mean)
        elif self.center is not None and self.spread is not None:
            mean, var = (mean - self.center) / self.spread, var / self.spread**2
        return mean.float(), var.float()

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` takes back exactly."""
        lists = {k: None if (v := getattr(self, k)) is None else v.tolist() for k in ("center", "spread")}
        return {"divisor": self.divisor, "binarize": self.binarize, **lists}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Prepare:
        """Rebuild from `to_json`."""
        center, spread = (
            None if stored[k] is None else torch.tensor(stored[k], dtype=torch.float64) for k in ("center", "spread")
        )
        return cls(float(stored["divisor"]), center, spread, stored["binarize"])

    @property
    def words(self) -> str:
        """What is done to the data, as a clause."""
        steps = [] if self.divisor == 1.0 else [f"divided by {self.divisor:g}"]
        if self.center is not None:
            steps.append("standardized column by column (densities stay in the units of the data)")
        if self.binarize != "none":
            how = "afresh for every batch" if self.binarize == "dynamic" else "once"
            steps.append(f"binarized: x ~ Bernoulli(value), drawn {how}")
        return ", ".join(steps) or "as they are"
