"""minamo: variational autoencoders with numbers that can be trusted.

z ~ prior p(z)      x | z ~ likelihood p(x|z)      z | x ~ posterior q(z|x)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minamo.batch import Batch as Batch
    from minamo.data import Dataset as Dataset
    from minamo.data import load as load
    from minamo.errors import MinamoError as MinamoError
    from minamo.estimator import VAE as VAE
    from minamo.evidence import Evidence as Evidence
    from minamo.evidence import Measure as Measure
    from minamo.model import Draw as Draw
    from minamo.model import LatentVariableModel as LatentVariableModel
    from minamo.training import fast_cpu as fast_cpu

__version__ = "0.1.0"

_HOMES = {
    "VAE": "estimator",
    "Evidence": "evidence",
    "Measure": "evidence",
    "LatentVariableModel": "model",
    "Draw": "model",
    "Batch": "batch",
    "Dataset": "data",
    "load": "data",
    "MinamoError": "errors",
    "fast_cpu": "training",
}

__all__ = [
    "VAE",
    "Batch",
    "Dataset",
    "Draw",
    "Evidence",
    "LatentVariableModel",
    "Measure",
    "MinamoError",
    "fast_cpu",
    "load",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `minamo --help` does not wait for torch."""
    if name in _HOMES:
        return getattr(import_module(f"minamo.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'minamo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
