"""Every error minamo raises on purpose, in one tree.

    MinamoError
    ├── DataError      (ValueError)   the data cannot be used; names the row and the column
    │   └── SupportError              a value lies where the likelihood gives no probability
    ├── ConfigError    (ValueError)   an option or a parameter has an impossible value
    ├── RunError       (OSError)      a run directory or a model file cannot be read or written
    ├── TrainingError  (ArithmeticError)  training met a bound that is not finite, or lost, and could not go on
    └── EvidenceError  (ArithmeticError)  a measured number cannot be true

A message is one line: what was expected, what arrived, what to do. The command line prints it on
stderr and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MinamoError(Exception):
    """Anything minamo refuses on purpose."""


class DataError(MinamoError, ValueError):
    """The data cannot be used as they are."""


class SupportError(DataError):
    """A value lies outside the support of the likelihood."""


class ConfigError(MinamoError, ValueError):
    """An option or a parameter has an impossible value."""


class RunError(MinamoError, OSError):
    """A run directory or a model file cannot be read or written."""


class TrainingError(MinamoError, ArithmeticError):
    """Training met a bound that is not finite, or lost, twice and stopped; what was saved is intact."""


class EvidenceError(MinamoError, ArithmeticError):
    """A measured number cannot be true: there is a bug in the model, the data or the estimator."""


def unknown(kind: str, word: object, choices: Iterable[str]) -> ConfigError:
    """Return the error for a word that is not in a table, with the nearest one that is.

    >>> print(unknown("likelihood", "bernuolli", ["bernoulli", "normal"]))
    unknown likelihood 'bernuolli': did you mean 'bernoulli'? (one of: bernoulli, normal)
    """
    known = list(choices)
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    hint = f": did you mean '{near[0]}'?" if near else ":"
    return ConfigError(f"unknown {kind} '{word}'{hint} (one of: {', '.join(known)})")


def one_line(error: Exception, most: int = 300) -> str:
    r"""Return what an error says in one line of at most so many characters, or its name where it says nothing.

    >>> one_line(RuntimeError("could not load:\n\tMissing key: a"))
    'could not load: Missing key: a'
    """
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= most else f"{said[: most - 4]} ..."


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
