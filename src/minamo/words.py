"""The only table from a word to a class, and what "auto" chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from minamo.data import Facts
from minamo.errors import unknown
from minamo.families import Diagonal, Family, Flow, FullCovariance
from minamo.likelihoods import Bernoulli, Likelihood, Normal
from minamo.nets import Mlp
from minamo.posteriors import Amortized, Exact, PerDatum, Posterior, SemiAmortized

T = TypeVar("T")

LIKELIHOODS: dict[str, type[Likelihood]] = {"bernoulli": Bernoulli, "normal": Normal}
POSTERIORS: dict[str, type[Posterior]] = {p.name: p for p in (Amortized, SemiAmortized, PerDatum, Exact)}
FAMILIES: dict[str, type[Family]] = {f.name: f for f in (Diagonal, FullCovariance, Flow)}
NETS = ("mlp", "linear")
SCALES = ("shared", "analytic")
BINARIZE = ("none", "dynamic", "fixed")
FILLED = 0.5
"""Values in [0, 1] are intensities if the largest is at least this."""
PREPROCESS = ("auto", "none", "standardize")


def look_up(kind: str, word: str, table: Mapping[str, T]) -> T:
    """Return table[word], or raise ConfigError with the nearest word."""
    check(kind, word, list(table))
    return table[word]


def check(kind: str, word: object, words: Sequence[str]) -> None:
    """Raise ConfigError unless `word` is one of `words`."""
    if word not in words:
        raise unknown(kind, word, words)


def net(word: str, n_in: int, n_out: int, hidden: Sequence[int]) -> Mlp:
    """Build the net called `word`."""
    check("net", word, NETS)
    return Mlp(n_in, n_out, () if word == "linear" else hidden)


def likelihood(word: str, decoder: Mlp, scale: float | str) -> Likelihood:
    """Build the likelihood called `word` around a decoder net."""
    made = look_up("likelihood", word, LIKELIHOODS)
    return Normal(decoder, scale) if made is Normal else made(decoder)  # type: ignore[call-arg]


def family(word: str, latent_dim: int, context: int = 0) -> Family:
    """Build the family called `word`; a flow takes a context of the given width."""
    made = look_up("family", word, FAMILIES)
    return Flow(latent_dim, context) if made is Flow else made(latent_dim)  # type: ignore[call-arg]


def posterior(
    word: str, family_word: str, latent_dim: int, encoder: Callable[[int], Mlp], n_steps: int | None, n_rows: int
) -> Posterior:
    """Build the posterior called `word`.

    Args:
        word: one of POSTERIORS.
        family_word: one of FAMILIES.
        latent_dim: width of z.
        encoder: makes the net from the number of its outputs; asked only by posteriors that have one.
        n_steps: gradient steps for each row; None takes the posterior's own default.
        n_rows: rows of the training data.
    """
    made = look_up("posterior", word, POSTERIORS)
    given = {} if n_steps is None else {"n_steps": n_steps}
    if made is Exact:
        return Exact(latent_dim)
    if made is PerDatum:
        return PerDatum(n_rows, family(family_word, latent_dim), **given)
    q = family(family_word, latent_dim, context=2 * latent_dim)
    if made is SemiAmortized:
        return SemiAmortized(encoder(q.n_params), q, **given)
    return Amortized(encoder(q.n_params), q)


def choose_likelihood(facts: Facts, binarize: str) -> tuple[str, str]:
    """What likelihood="auto" takes, and why."""
    if binarize != "none":
        return "bernoulli", "the data are binarized"
    if facts.binary:
        return "bernoulli", "only 0 and 1 occur in the data"
    return "normal", f"the data are numbers from {facts.low:.4g} to {facts.high:.4g}"


def choose_preprocess(facts: Facts, kind: str, likelihood_word: str) -> tuple[str, str]:
    """What preprocess="auto" does, and why."""
    if likelihood_word == "bernoulli":
        return "none", "the likelihood is one of 0 and 1"
    if kind == "table":
        return "standardize", "columns of a table have units of their own"
    if facts.low >= 0 and FILLED <= facts.high <= 1:
        return "none", "all values lie in [0, 1]"
    return "standardize", f"values lie from {facts.low:.4g} to {facts.high:.4g}"
