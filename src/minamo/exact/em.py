"""The EM algorithm, once, for every model whose posterior is exact.

log p(x) = ELBO(q) + KL(q || p(z|x)).  E: q becomes the posterior, so KL = 0 and the ELBO touches log p.  M: the
parameters climb the ELBO with q held, and log p rises at least as far, since KL cannot fall below 0.

"Maximum likelihood from incomplete data via the EM algorithm" (Dempster, Laird, Rubin, 1977);
"A view of the EM algorithm that justifies incremental, sparse, and other variants" (Neal, Hinton, 1998).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, NamedTuple, Protocol, Self, TypeVar

from torch import Tensor

from minamo.errors import ConfigError
from minamo.exact.cells import Array, checked


class Exact(Protocol):
    """What EM asks of a model; q stands for its own kind of distribution over the latents."""

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor: ...  # noqa: D102

    def prior(self, x: Tensor, observed: Tensor | None = None) -> Any: ...  # noqa: D102

    def posterior(self, x: Tensor, observed: Tensor | None = None) -> Any: ...  # noqa: D102

    def m_step(self, x: Tensor, q: Any, *, observed: Tensor | None = None, floor: float = 0.0) -> Self: ...  # noqa: D102

    def elbo(self, x: Tensor, q: Any, *, observed: Tensor | None = None) -> Tensor: ...  # noqa: D102

    def kl(self, q: Any, p: Any) -> Tensor: ...  # noqa: D102


M = TypeVar("M", bound=Exact)
T = TypeVar("T", float, Tensor)


class Bound(NamedTuple, Generic[T]):
    """The three terms of log p = ELBO + KL, nats: one value per datum [N], or their means."""

    log_p: T
    elbo: T
    kl: T
    """KL(q || posterior)."""


@dataclass(frozen=True, eq=False)
class HalfStep(Generic[M]):
    """What half a step of EM has changed."""

    step: int
    """From 1."""
    half: Literal["E", "M"]
    model: M
    """As it stands after this half."""
    before: Bound[float]
    """Means over the data, nats per datum."""
    after: Bound[float]
    each: tuple[Bound[Tensor], Bound[Tensor]] | None
    """Before and after for every datum, [N]; `fit` does not keep them."""

    @property
    def gain(self) -> float:
        """By how much mean log p has risen, nats per datum: 0 after an E half."""
        return self.after.log_p - self.before.log_p


class Fit(NamedTuple, Generic[M]):
    """A fitted model and how it came about."""

    model: M
    trace: list[HalfStep[M]]


def em(
    model: M, x: Array, *, observed: Array | None = None, steps: int = 1000, tol: float = 1e-8, floor: float = 0.0
) -> Iterator[HalfStep[M]]:
    """Run EM and yield a record after every half-step, E then M; before the first, q is the prior.

    Args:
        model: where to start; `GaussianMixture.start(x, k)` and its like choose a place.
        x: [N, D].
        observed: bool [N, D], True where the cell was seen; None when nothing is missing.
        steps: at most so many pairs of halves.
        tol: stop after a step that raises mean log p by less, nats per datum; 0 takes every step.
        floor: smallest noise variance, or eigenvalue of a covariance. The M-step is exact under that constraint, so
            mean log p does not fall (unless the start lies below the floor).

    Raises:
        DataError: x cannot be used, or a variance falls to 0 (see `m_step`).

    >>> import torch
    >>> from minamo.exact import GaussianMixture
    >>> x = torch.tensor([[0.0], [1.0], [2.0], [5.0], [6.0], [9.0]])
    >>> for record in em(GaussianMixture.start(x, 2), x, steps=2):
    ...     print(record.half, *(f"{term:.4f}" for term in record.after))
    E -3.1237 -3.1237 0.0000
    M -2.5536 -2.5545 0.0009
    E -2.5536 -2.5536 0.0000
    M -2.5514 -2.5526 0.0012
    """
    if steps < 1 or tol < 0 or floor < 0:
        raise ConfigError(f"expected steps >= 1, tol >= 0 and floor >= 0; got {steps}, {tol} and {floor}")
    x, observed = checked(x, observed)
    q, posterior = model.prior(x, observed), model.posterior(x, observed)
    log_p = model.log_prob(x, observed)
    before = Bound(log_p, model.elbo(x, q, observed=observed), model.kl(q, posterior))
    for step in range(1, steps + 1):
        q = posterior
        after = Bound(log_p, model.elbo(x, q, observed=observed), model.kl(q, posterior))
        yield _half_step(step, "E", model, before, after)

        before, model = after, model.m_step(x, q, observed=observed, floor=floor)
        posterior, log_p = model.posterior(x, observed), model.log_prob(x, observed)
        after = Bound(log_p, model.elbo(x, q, observed=observed), model.kl(q, posterior))
        record = _half_step(step, "M", model, before, after)
        yield record
        if tol > 0 and record.gain < tol:
            return
        before = after


def _half_step(
    step: int, half: Literal["E", "M"], model: M, before: Bound[Tensor], after: Bound[Tensor]
) -> HalfStep[M]:
    first, second = (Bound(*(float(term.mean()) for term in bound)) for bound in (before, after))
    return HalfStep(step, half, model, first, second, (before, after))


def fit(
    model: M, x: Array, *, observed: Array | None = None, steps: int = 1000, tol: float = 1e-8, floor: float = 0.0
) -> Fit[M]:
    """Run `em` to its end and return the last model with the record of every half-step, means only.

    >>> import torch
    >>> from minamo.exact import ProbabilisticPCA
    >>> x = torch.tensor([[2.0, 1.9], [-1.0, -1.2], [0.0, 0.3], [1.0, 0.8]])
    >>> model, trace = fit(ProbabilisticPCA.start(x, 1), x)
    >>> exact = ProbabilisticPCA.closed_form(x, 1).log_prob(x).mean()
    >>> print(f"{trace[0].after.log_p:.3f} -> {trace[-1].after.log_p:.3f}, exact {float(exact):.3f}")
    -2.925 -> -1.364, exact -1.364
    """
    trace = []
    for record in em(model, x, observed=observed, steps=steps, tol=tol, floor=floor):
        trace.append(replace(record, each=None))
    return Fit(trace[-1].model, trace)
