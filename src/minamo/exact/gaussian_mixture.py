"""A mixture of Gaussians: the latent is the component, and with it whatever cells of x are missing.

k ~ weights      x | k ~ N(means[k], covariances[k])
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.distributions import Categorical

from minamo.errors import ConfigError, DataError
from minamo.exact import enumeration
from minamo.exact.cells import SINGULAR, Array, Patterns, checked, column_moments
from minamo.randomness import stream

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class MixturePosterior:
    """q(k, x_mis) = q(k) N(x_mis; mean_k, covariance_k), a distribution for each of N rows.

    Rows that lack the same cells share their covariances, as they do in every exact posterior. Memory is
    P K M^2 numbers for P patterns of at most M missing cells; nothing when no cell is missing.
    """

    component: Categorical
    """q(k), batch [N]."""
    mean: Tensor
    """[N, K, D]: x where it was observed, else the mean of the missing cell under component k."""
    precision_tril: Tensor
    """[P, K, M, M], Cholesky factors of the precisions of the missing cells; the identity in the padding."""
    patterns: Patterns

    @cached_property
    def covariance(self) -> Tensor:
        """[P, K, M, M], of the missing cells given the component; 0 in the padding."""
        whole = torch.cholesky_inverse(self.precision_tril)
        return whole * (self.patterns.real[:, None, :, None] & self.patterns.real[:, None, None, :])

    @cached_property
    def missing_entropy(self) -> Tensor:
        """Entropy of the missing cells given the component, [P, K] in nats."""
        log_det = 2 * self.precision_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 0.5 * (self.patterns.n_missing[:, None] * (LOG_2PI + 1) - log_det)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """K Gaussians with full covariances. float64.

    Args:
        weights: [K], positive, sum 1.
        means: [K, D].
        covariances: [K, D, D].

    Raises:
        ConfigError: shapes that do not fit, weights that are none, a covariance that is singular.

    >>> model = GaussianMixture(torch.tensor([0.5, 0.5]), torch.tensor([[0.0], [3.0]]), torch.ones(2, 1, 1))
    >>> x = torch.ones(1, 1)
    >>> print(f"log p {float(model.log_prob(x)):.4f}, p(k=0|x) {float(model.posterior(x).component.probs[0, 0]):.4f}")
    log p -1.9107, p(k=0|x) 0.8176
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self):
        for name in ("weights", "means", "covariances"):
            object.__setattr__(self, name, torch.as_tensor(getattr(self, name), dtype=torch.float64))
        ok = self.means.dim() == 2 and self.weights.shape == self.means.shape[:1]
        if not ok or self.covariances.shape != (*self.means.shape, self.means.shape[1]):
            shapes = [list(t.shape) for t in (self.weights, self.means, self.covariances)]
            raise ConfigError(f"expected weights [K], means [K, D], covariances [K, D, D]; got {shapes}")
        if not (bool((self.weights > 0).all()) and abs(float(self.weights.detach().sum()) - 1) < 1e-8):
            raise ConfigError(f"expected positive weights of sum 1; got {self.weights.tolist()}")
        singular = _singular(self.covariances)
        if singular is not None:
            raise ConfigError(f"the covariance of component {singular} is singular or not positive definite")

    @cached_property
    def _tril(self) -> Tensor:
        return torch.linalg.cholesky(self.covariances)

    @cached_property
    def precisions(self) -> Tensor:
        """Inverse covariances, [K, D, D]."""
        return torch.cholesky_inverse(self._tril)

    # -- inference ----------------------------------------------------------------------------------------------------

    def prior(self, x: Array, observed: Array | None = None) -> MixturePosterior:
        """p(k) p(x_mis|k) for every row: the q of someone who has not looked at the observed cells."""
        x, observed = self._checked(x, observed)
        patterns = Patterns(x, observed)
        mean = torch.where(patterns.observed[patterns.of_row][:, None], x[:, None], self.means)
        component = Categorical(self.weights.expand(len(x), -1))
        precision = torch.cholesky_inverse(_tril(patterns, self.covariances))
        return MixturePosterior(component, mean, torch.linalg.cholesky(precision), patterns)

    def posterior(self, x: Array, observed: Array | None = None) -> MixturePosterior:
        """p(k, x_mis | x_obs): the E-step. `.component` is p(k | x_obs), a Categorical of batch [N].

        Given k, the precision of the missing cells is their block of the component's precision.

        Args:
            x: [N, D].
            observed: bool [N, D], True where the cell was seen; None when nothing is missing.

        Raises:
            DataError: the shape of x, or an observed cell that is not finite.
        """
        return self._infer(x, observed)[1]

    e_step = posterior

    def log_prob(self, x: Array, observed: Array | None = None) -> Tensor:
        """Log p(x) of the observed cells, [N] in nats; 0 for a row without any."""
        return self._infer(x, observed)[0]

    def _infer(self, x: Array, observed: Array | None) -> tuple[Tensor, MixturePosterior]:
        x, observed = self._checked(x, observed)
        patterns = Patterns(x, observed)
        tril = _tril(patterns, self.precisions)
        # Start the missing cells at the component's mean; the observed deviations then pull them away.
        mean = torch.where(patterns.observed[patterns.of_row][:, None], x[:, None], self.means)
        pull = patterns.cut(torch.einsum("kij,nkj->nki", self.precisions, mean - self.means))
        mean = patterns.paste(-patterns.multiply(torch.cholesky_inverse(tril), pull), mean)
        # log p(x_obs|k) = log p(x_obs, m|k) - log p(m|x_obs,k) at any m; at the mean of the latter it is a determinant.
        log_det = 2 * tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        half_log_det = 0.5 * (patterns.n_missing[:, None] * LOG_2PI - log_det)
        log_p, component = enumeration.exact_posterior(self._log_joint(mean) + half_log_det[patterns.of_row])
        return log_p, MixturePosterior(component, mean, tril, patterns)

    def _log_joint(self, x: Tensor) -> Tensor:
        """Log weights[k] + log N(x[n, k]; means[k], covariances[k]), [N, K]."""
        white = torch.linalg.solve_triangular(self._tril, (x - self.means).permute(1, 2, 0), upper=False)
        log_det = 2 * self._tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self.weights.log() - 0.5 * ((white**2).sum(1).T + log_det + x.shape[-1] * LOG_2PI)

    def elbo(self, x: Array, q: MixturePosterior, *, observed: Array | None = None) -> Tensor:
        """E_q[log p(x, k)] + entropy of q, [N] in nats, for any q(k, x_mis)."""
        completed = self._completed(*self._checked(x, observed), q)
        # What q's spread around its means adds to the squared distance.
        trace = _trace(_tril(q.patterns, self.precisions), q)
        given_k = self._log_joint(completed) + (q.missing_entropy - 0.5 * trace)[q.patterns.of_row]
        return enumeration.elbo(given_k, q.component)

    @staticmethod
    def kl(q: MixturePosterior, p: MixturePosterior) -> Tensor:
        """KL(q || p), [N] in nats: of the component, and of the missing cells given the component."""
        precision = p.precision_tril @ p.precision_tril.mT
        # Of the two entropies only the determinants differ.
        spread = (
            0.5 * (_trace(p.precision_tril, q) - q.patterns.n_missing[:, None]) + p.missing_entropy - q.missing_entropy
        )
        apart = q.patterns.cut(p.mean - q.mean)
        square = (apart * q.patterns.multiply(precision, apart)).sum(-1)
        missing = spread[q.patterns.of_row] + 0.5 * square
        return enumeration.kl(q.component, p.component) + (q.component.probs * missing).sum(-1)

    @staticmethod
    def _completed(x: Tensor, observed: Tensor | None, q: MixturePosterior) -> Tensor:
        """X with its missing cells at q's means, [N, K, D]."""
        seen = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
        if not torch.equal(seen, q.patterns.observed[q.patterns.of_row]):
            raise DataError("q is about other missing cells than `observed`: hand both methods the same mask")
        return torch.where(seen[:, None], x[:, None], q.mean)

    def _checked(self, x: Array, observed: Array | None) -> tuple[Tensor, Tensor | None]:
        return checked(x, observed, n_columns=self.means.shape[1])

    # -- learning -----------------------------------------------------------------------------------------------------

    def m_step(self, x: Array, q: MixturePosterior, *, observed: Array | None = None, floor: float = 0.0) -> Self:
        """Return the model of largest ELBO with q held: each component's moments, missing cells by their expectation.

        A missing cell adds its conditional mean to the mean, and to the covariance also its conditional covariance:
        "Supervised learning from incomplete data via an EM approach" (Ghahramani, Jordan, 1994).

        Args:
            x: [N, D].
            q: what is believed of (k, x_mis).
            observed: bool [N, D], True where the cell was seen.
            floor: smallest eigenvalue of a covariance; the maximum is exact under that constraint (scikit-learn's
                `reg_covar` is added to the diagonal instead, which is no maximum).

        Raises:
            DataError: a column without an observed cell, a component without data, or a singular covariance.
        """
        x, observed = self._checked(x, observed)
        column_moments(x, observed)
        share = q.component.probs
        size = share.sum(0)
        if bool((size <= torch.finfo(x.dtype).eps * len(x)).any()):
            k = int(size.argmin())
            raise DataError(f"component {k} has lost all data: use fewer than {len(size)} components, or another seed")
        completed = self._completed(x, observed, q)
        means = torch.einsum("nk,nkd->kd", share, completed) / size[:, None]
        root = (share.sqrt()[..., None] * (completed - means)).transpose(0, 1)
        of_pattern = share.new_zeros(len(q.patterns.observed), len(size)).index_add(0, q.patterns.of_row, share)
        unseen = q.patterns.scatter(of_pattern[..., None, None] * q.covariance, x.shape[1])
        covariances = _at_least((root.mT @ root + unseen) / size[:, None, None], floor)
        k = _singular(covariances)
        if k is not None:
            raise DataError(
                f"the covariance of component {k} has become singular (about {float(size[k]):.1f} data for "
                f"{x.shape[1]} columns): use fewer components, or give floor > 0, e.g. 1e-6 of a column's variance"
            )
        return type(self)(size / size.sum(), means, covariances)

    @classmethod
    def start(cls, x: Array, k: int, seed: int = 0, *, observed: Array | None = None, floor: float = 0.0) -> Self:
        """Return a place to start from: K different rows as means, the columns' variances for every component.

        A missing cell of a chosen row is filled with its column's mean.

        Args:
            x: [N, D].
            k: the number of components, from 1 to N.
            seed: of the choice.
            observed: bool [N, D], True where the cell was seen.
            floor: smallest variance.

        Raises:
            ConfigError: k.
            DataError: a column without an observed cell, or without variance.
        """
        x, observed = checked(x, observed)
        if not 1 <= k <= len(x):
            raise ConfigError(f"expected from 1 to {len(x)} components for {len(x)} rows; got {k}")
        count, mean, square = column_moments(x, observed)
        var = (square / count).clamp_min(floor)
        if not bool((var > 0).all()):
            raise DataError(f"column {int(var.argmin())} is constant: leave it out, or give floor > 0")
        chosen = torch.randperm(len(x), generator=stream(seed, "mixture start"))[:k].to(x.device)
        means = x[chosen] if observed is None else torch.where(observed[chosen], x[chosen], mean)
        return cls(torch.ones(k, dtype=x.dtype) / k, means, var.diag().expand(k, -1, -1))

    # -- use ----------------------------------------------------------------------------------------------------------

    def sample(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw n times and return (x [n, D], component [n]); without a generator, the same every time."""
        generator = generator or stream(0, "sample")
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], dtype=self.means.dtype, generator=generator)
        return self.means[k] + (self._tril[k] @ noise[..., None])[..., 0], k

    def impute(self, x: Array, observed: Array | None) -> Tensor:
        """Return x [N, D] with each missing cell replaced by its conditional mean, E[x_mis | x_obs]."""
        x, observed = self._checked(x, observed)
        if observed is None:
            return x
        q = self.posterior(x, observed)
        return torch.where(observed, x, (q.component.probs[..., None] * q.mean).sum(1))


def _tril(patterns: Patterns, matrices: Tensor) -> Tensor:
    """Cholesky factors of the missing blocks of K matrices, [P, K, M, M]; the identity in the padding."""
    return torch.linalg.cholesky(patterns.blocks(matrices) + (~patterns.real[:, None]).to(matrices.dtype).diag_embed())


def _trace(tril: Tensor, q: MixturePosterior) -> Tensor:
    """Tr(A C) over the missing cells, for A = tril tril' and q's covariance C, [P, K]; exact where they are inverse."""
    ratio = torch.linalg.solve_triangular(q.precision_tril, tril, upper=False)
    return (ratio**2).sum((-2, -1)) - (~q.patterns.real).sum(1)[:, None]


def _at_least(covariances: Tensor, floor: float) -> Tensor:
    """Raise eigenvalues to the floor: the covariance of largest likelihood among those with none below it."""
    if floor == 0:
        return covariances
    values, vectors = torch.linalg.eigh(covariances)
    return (vectors * values.clamp_min(floor)[:, None]) @ vectors.mT


def _singular(covariances: Tensor) -> int | None:
    """The first of K matrices in which a column is all but explained by those before it (whatever their units)."""
    tril, failed = torch.linalg.cholesky_ex(covariances)
    variances = covariances.diagonal(dim1=-2, dim2=-1)
    left = tril.diagonal(dim1=-2, dim2=-1) ** 2 / variances
    bad = (failed > 0) | ~(left > SINGULAR).all(-1)
    return int(bad.nonzero()[0]) if bool(bad.any()) else None
