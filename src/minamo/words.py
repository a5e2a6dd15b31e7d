"""The only table from a word to a class, and what "auto" chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from math import prod
from types import ModuleType
from typing import Any, TypeVar

from torch.distributions import constraints

from minamo import likelihoods, objectives, priors, trackers
from minamo.data import Facts
from minamo.errors import ConfigError, unknown
from minamo.families import Diagonal, Family, Flow, FullCovariance
from minamo.likelihoods import Likelihood
from minamo.nets import ConvDecoder, ConvEncoder, GatedMlp, Mlp, Net, ResidualMlp
from minamo.objectives import doubly_reparameterized, iwae, sticking_the_landing
from minamo.posteriors import Amortized, Exact, PerDatum, Posterior, SemiAmortized
from minamo.priors import Prior
from minamo.trackers import Tracker
from minamo.training import Judge, Objective
from minamo.training.judge import ELBO, of_beta, of_capacity, of_free_bits, of_iwae

T = TypeVar("T")


def named(package: ModuleType, kind: type[T]) -> dict[str, type[T]]:
    """Every class of a kind that a package exports, by the name that users call it."""
    classes = [c for c in vars(package).values() if isinstance(c, type) and issubclass(c, kind) and c is not kind]
    return {c.name: c for c in classes}  # type: ignore[attr-defined]


LIKELIHOODS: dict[str, type[Likelihood]] = named(likelihoods, Likelihood)
POSTERIORS: dict[str, type[Posterior]] = {p.name: p for p in (Amortized, SemiAmortized, PerDatum, Exact)}
FAMILIES: dict[str, type[Family]] = {f.name: f for f in (Diagonal, FullCovariance, Flow)}
PRIORS: dict[str, type[Prior]] = named(priors, Prior)
NETS: dict[str, tuple[int, ...]] = {
    "mlp": (400, 400),
    "gated": (300, 300),
    "residual": (400, 400),
    "conv": (32, 64),
    "residual-conv": (32, 64),
    "linear": (),
}
"""The hidden widths that each takes unless told otherwise; channels of a convolutional net."""
TRACKERS: dict[str, type[Tracker]] = named(trackers, Tracker)


def _beta(beta: float = 4.0) -> tuple[Objective, Judge]:
    return objectives.beta(beta), of_beta(beta)


def _free_bits(free_bits: float = 0.1) -> tuple[Objective, Judge]:
    return objectives.free_bits(free_bits), of_free_bits(free_bits)


def _capacity(capacity: float = 25.0, beta: float = 10.0) -> tuple[Objective, Judge]:
    return objectives.capacity(capacity, beta), of_capacity(capacity, beta)


OBJECTIVES: dict[str, Callable[..., tuple[Objective, Judge]]] = {
    "elbo": lambda: (sticking_the_landing, ELBO),
    "iwae": lambda draws: (iwae, of_iwae(draws)),
    "dreg": lambda draws: (doubly_reparameterized, of_iwae(draws)),
    "beta": _beta,
    "free-bits": _free_bits,
    "capacity": _capacity,
}
"""What a step follows and what judges an epoch, from the parameters that each names. For "elbo" the gradient with the
least noise near the optimum."""
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


def encoder(word: str, shape: Sequence[int], n_out: int, hidden: Sequence[int] | None) -> Net:
    """Build the net called `word` that maps a datum to n_out numbers.

    Args:
        word: one of NETS.
        shape: of a datum.
        n_out: width of the output.
        hidden: widths, or channels of a convolutional net; None takes HIDDEN.
    """
    check("net", word, list(NETS))
    hidden = NETS[word] if hidden is None else hidden
    if "conv" in word:
        _require_image(word, shape)
        return ConvEncoder(tuple(shape), n_out, hidden, residual="residual" in word)
    return _flat(word, prod(shape), n_out, hidden)


def decoder(word: str, n_in: int, shape: Sequence[int], n_out: int, hidden: Sequence[int] | None) -> Net:
    """Build the mirror image of `encoder`, from n_in numbers to n_out, a multiple of the values in a datum."""
    check("net", word, list(NETS))
    hidden = (NETS[word] if hidden is None else hidden)[::-1]
    if "conv" in word:
        _require_image(word, shape)
        return ConvDecoder(n_in, tuple(shape), n_out // prod(shape), hidden, residual="residual" in word)
    return _flat(word, n_in, n_out, hidden)


def _flat(word: str, n_in: int, n_out: int, hidden: Sequence[int]) -> Net:
    made = {"mlp": Mlp, "linear": Mlp, "gated": GatedMlp, "residual": ResidualMlp}[word]
    return made(n_in, n_out, () if word == "linear" else hidden)


def _require_image(word: str, shape: Sequence[int]) -> None:
    if len(shape) not in (2, 3):
        raise ConfigError(f"net {word} is for images, a datum here is a row of {prod(shape)} numbers: take mlp")


def likelihood(word: str, net: Callable[[int], Net], n_columns: int, **available: Any) -> Likelihood:
    """Build the likelihood called `word`.

    Args:
        word: one of LIKELIHOODS.
        net: makes the decoder from the number of its outputs.
        n_columns: D.
        available: what a likelihood may ask for besides, by the names its constructor has for them.
    """
    made = look_up("likelihood", word, LIKELIHOODS)
    given = asked_for(made, available)
    return made(net(n_columns * (made.per_column or next(iter(given.values())))), **given)


def asked_for(made: Callable[..., Any], available: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `available` that the constructor of `made` has a parameter for."""
    return {k: v for k, v in available.items() if k in signature(made).parameters}


def family(word: str, latent_dim: int, context: int = 0) -> Family:
    """Build the family called `word`; a flow takes a context of the given width."""
    made = look_up("family", word, FAMILIES)
    return Flow(latent_dim, context) if made is Flow else made(latent_dim)  # type: ignore[call-arg]


def posterior(
    word: str, family_word: str, latent_dim: int, net: Callable[[int], Net], n_steps: int | None, n_rows: int
) -> Posterior:
    """Build the posterior called `word`.

    Args:
        word: one of POSTERIORS.
        family_word: one of FAMILIES.
        latent_dim: width of z.
        net: makes the encoder from the number of its outputs; asked only by posteriors that have one.
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
        return SemiAmortized(net(q.n_params), q, **given)
    return Amortized(net(q.n_params), q)


def prior(word: str, posterior: Posterior, **available: Any) -> Prior:
    """Build the prior called `word`.

    Args:
        word: one of PRIORS.
        posterior: the model's own; a mixture of posteriors needs one with an encoder.
        available: what a prior may ask for, by the names its constructor has for them.
    """
    made = look_up("prior", word, PRIORS)
    given = asked_for(made, {**available, "q": None})
    if "q" in given:
        if not isinstance(posterior, Amortized):
            raise ConfigError(
                f"prior {word} is made of what an encoder says: it needs posterior amortized or semi-amortized"
            )
        given["q"] = posterior.at
    return made(**given)


def objective(word: str, params: Mapping[str, Any]) -> tuple[Objective, Judge]:
    """Return what training maximizes, and the same of every watched row.

    Args:
        word: one of OBJECTIVES.
        params: those of VAE.
    """
    return look_up("objective", word, OBJECTIVES)(**numbers_of(word, params))


def numbers_of(word: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an objective asks for: the parameter, or where that is None the objective's own default."""
    known = signature(OBJECTIVES[word]).parameters
    return {name: known[name].default if params[name] is None else params[name] for name in known}


def choose_likelihood(facts: Facts, binarize: str) -> tuple[str, str]:
    """What likelihood="auto" takes, and why."""
    if binarize != "none":
        return "bernoulli", "the data are binarized"
    if facts.binary:
        return "bernoulli", "only 0 and 1 occur in the data"
    return "normal", f"the data are numbers from {facts.low:.4g} to {facts.high:.4g}"


def choose_preprocess(facts: Facts, kind: str, likelihood_word: str) -> tuple[str, str]:
    """What preprocess="auto" does, and why."""
    if LIKELIHOODS[likelihood_word].support is not constraints.real:
        return "none", "the likelihood is one of 0 and 1" if likelihood_word == "bernoulli" else "its support is fixed"
    if kind == "table":
        return "standardize", "columns of a table have units of their own"
    if facts.low >= 0 and FILLED <= facts.high <= 1:
        return "none", "all values lie in [0, 1]"
    return "standardize", f"values lie from {facts.low:.4g} to {facts.high:.4g}"
