"""A linear decoder with Gaussian noise, solved exactly: factor analysis and probabilistic PCA.

z ~ N(0, I)      x | z ~ N(W z + mean, diag(var))

Given z the columns are independent, so a missing cell leaves every sum it would have been in, and that is all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from minamo.errors import ConfigError, DataError
from minamo.exact.cells import SINGULAR, Array, checked, column_moments
from minamo.randomness import stream

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class FactorAnalysis:
    """Factor analysis: every column has its own noise variance. float64.

    Memory is N Q^2 numbers where cells are missing (each row has its own posterior covariance), else Q^2.

    "EM algorithms for ML factor analysis" (Rubin, Thayer, 1982).

    Args:
        w: loadings [D, Q].
        mean: [D].
        var: noise variances [D].

    Raises:
        ConfigError: shapes that do not fit, or a variance that is not positive.

    >>> model = FactorAnalysis(w=torch.tensor([[1.0], [2.0]]), mean=torch.zeros(2), var=torch.ones(2))
    >>> x = torch.tensor([[1.0, 1.0]])
    >>> print(f"log p {float(model.log_prob(x)):.4f}, E[z] {float(model.posterior(x).mean):.4f}")
    log p -2.9838, E[z] 0.5000
    """

    w: Tensor
    mean: Tensor
    var: Tensor

    def __post_init__(self):
        for name in ("w", "mean", "var"):
            object.__setattr__(self, name, torch.as_tensor(getattr(self, name), dtype=torch.float64))
        ok = self.w.dim() == 2 and self.mean.shape == self.w.shape[:1]
        if not ok or self.var.shape != self._pooled(self.mean, self.mean).shape:
            shapes = [list(t.shape) for t in (self.w, self.mean, self.var)]
            raise ConfigError(f"expected w [D, Q], mean [D] and one var {self._per}; got {shapes}")
        if not bool((self.var > 0).all()):
            raise ConfigError(f"expected a positive noise variance; got {float(self.var.min())}")

    _per = "for each column, [D]"

    @staticmethod
    def _pooled(total: Tensor, count: Tensor) -> Tensor:
        """Turn sums of squares and counts of the columns, [D], into the variances this model has."""
        return total / count

    @property
    def _noise(self) -> Tensor:
        return self.var.expand(len(self.mean))

    @property
    def covariance(self) -> Tensor:
        """The covariance of x, W W' + diag(var), [D, D]."""
        return self.w @ self.w.T + self._noise.diag()

    # -- inference ----------------------------------------------------------------------------------------------------

    def prior(self, x: Array, observed: Array | None = None) -> MultivariateNormal:
        """p(z) for every row, batch [N]: the q of someone who has not looked at x."""
        q = self.w.shape[1]
        return MultivariateNormal(self.w.new_zeros(len(x), q), torch.eye(q, dtype=self.w.dtype, device=self.w.device))

    def posterior(self, x: Array, observed: Array | None = None) -> MultivariateNormal:
        """p(z|x), batch [N], event [Q]: the E-step. Its precision is I + W' diag(1/var) W over the observed columns.

        Args:
            x: [N, D].
            observed: bool [N, D], True where the cell was seen; None when nothing is missing.

        Raises:
            DataError: the shape of x, or an observed cell that is not finite.
        """
        x, observed = self._checked(x, observed)
        by_noise = self.w / self._noise[:, None]
        if observed is None:
            precision = self.w.T @ by_noise
        else:
            products = self.w[:, :, None] * by_noise[:, None, :]
            precision = (observed.to(x.dtype) @ products.flatten(1)).unflatten(1, products.shape[1:])
        eye = torch.eye(self.w.shape[1], dtype=x.dtype, device=x.device)
        # precision = U U' with U upper triangular, so S = L L' with L = U'^-1 lower: S itself would cost digits.
        upper = torch.linalg.cholesky((precision + eye).flip(-2, -1)).flip(-2, -1)
        tril = torch.linalg.solve_triangular(upper.mT, eye, upper=False)
        pull = (self._deviation(x, observed) @ by_noise)[:, None]
        # Triangular by construction: torch's check of it would cost more than all of this.
        return MultivariateNormal((pull @ tril @ tril.mT)[:, 0], scale_tril=tril, validate_args=False)

    e_step = posterior

    def log_prob(self, x: Array, observed: Array | None = None) -> Tensor:
        """Log p(x) of the observed cells, [N] in nats; 0 for a row without any.

        log p(x, z) - log p(z|x) is the same at every z. At the mean m of the posterior the second term needs no
        exponent: log p(x) = log p(x, m) + log |2 pi S| / 2.
        """
        x, observed = self._checked(x, observed)
        posterior = self.posterior(x, observed)
        half_log_det = posterior.entropy() - 0.5 * self.w.shape[1]
        return self._expected_log_joint(x, observed, posterior.mean, None) + half_log_det

    def elbo(self, x: Array, q: MultivariateNormal, *, observed: Array | None = None) -> Tensor:
        """E_q[log p(x, z)] + entropy of q, [N] in nats, for any Gaussian q (batch [N], event [Q])."""
        x, observed = self._checked(x, observed)
        return self._expected_log_joint(x, observed, q.mean, q.scale_tril) + q.entropy()

    @staticmethod
    def kl(q: MultivariateNormal, p: MultivariateNormal) -> Tensor:
        """KL(q || p), [N] in nats."""
        return kl_divergence(q, p)

    def _expected_log_joint(self, x: Tensor, observed: Tensor | None, m: Tensor, tril: Tensor | None) -> Tensor:
        """E[log p(x, z)] for z of mean m [N, Q] and covariance tril tril' [N, Q, Q] (None: z is m), [N]."""
        square = self._deviation(x, observed, m) ** 2
        norm = (m**2).sum(1)
        if tril is not None:
            for column in _one_if_shared(tril).unbind(-1):  # [N, Q]: one at a time, N D numbers suffice
                square = square + (column @ self.w.T) ** 2
                norm = norm + (column**2).sum(1)
        cells = LOG_2PI + self._noise.log() + square / self._noise
        if observed is not None:
            cells = cells * observed
        return -0.5 * (cells.sum(1) + LOG_2PI * m.shape[1] + norm)

    def _deviation(self, x: Tensor, observed: Tensor | None, z: Tensor | None = None) -> Tensor:
        """X less what the model expects of it (given z, if any), 0 in missing cells."""
        deviation = x - self.mean if z is None else x - self.mean - z @ self.w.T
        return deviation if observed is None else deviation * observed

    def _checked(self, x: Array, observed: Array | None) -> tuple[Tensor, Tensor | None]:
        return checked(x, observed, n_columns=len(self.mean))

    # -- learning -----------------------------------------------------------------------------------------------------

    def m_step(self, x: Array, q: MultivariateNormal, *, observed: Array | None = None, floor: float = 0.0) -> Self:
        """Return the model of largest ELBO with q held: each column regressed on (z, 1) over its own rows.

        Args:
            x: [N, D].
            q: what is believed of z, batch [N].
            observed: bool [N, D], True where the cell was seen.
            floor: smallest noise variance; the maximum is exact under that constraint.

        Raises:
            DataError: a column without an observed cell, or whose noise variance falls to 0.
        """
        x, observed = self._checked(x, observed)
        count, _, square = column_moments(x, observed)
        # Regress what deviates from the old mean: the sums lose no digits to an offset of the columns.
        y = self._deviation(x, observed)
        z = torch.cat([q.mean, torch.ones_like(q.mean[:, :1])], 1)
        # Sums over the rows of a column, [1 or D, ...]: of Cov_q[z], and of the outer products of (E_q[z], 1).
        if observed is None:
            spread, outer = q.covariance_matrix.sum(0, keepdim=True), (z.T @ z)[None]
        else:
            spread, outer = (
                (observed.to(x.dtype).T @ each.flatten(1)).unflatten(1, each.shape[1:])
                for each in (q.covariance_matrix, z[:, :, None] * z[:, None, :])
            )
        second = outer + torch.nn.functional.pad(spread, (0, 1, 0, 1))
        slopes = torch.linalg.solve(second, (y.T @ z)[..., None])[..., 0]  # [D, Q + 1]
        w, fitted = slopes[:, :-1], z @ slopes.T
        square_left = ((y - fitted) ** 2 if observed is None else (y - fitted) ** 2 * observed).sum(0)
        residual = square_left + (w[:, None] @ spread @ w[..., None]).flatten()
        var = _positive(self._pooled(residual, count), floor, self._pooled(square, count))
        return type(self)(w, self.mean + slopes[:, -1], var)

    @classmethod
    def start(
        cls, x: Array, latent_dim: int, *, seed: int = 0, observed: Array | None = None, floor: float = 0.0
    ) -> Self:
        """Return a place to start from: random loadings, which explain half of each column's variance on average.

        Args:
            x: [N, D].
            latent_dim: Q, from 1 to D - 1.
            seed: of the loadings.
            observed: bool [N, D], True where the cell was seen.
            floor: smallest noise variance.

        Raises:
            ConfigError: latent_dim.
            DataError: a column without an observed cell, or without variance.
        """
        x, observed = checked(x, observed)
        _check_latent_dim(latent_dim, x.shape[1])
        count, mean, square = column_moments(x, observed)
        var = cls._pooled(square, count)
        var = _positive(var, floor, var)
        noise = torch.randn(x.shape[1], latent_dim, dtype=x.dtype, generator=stream(seed, "factor analysis start"))
        w = noise.to(x.device) * (var.expand(x.shape[1]) / (2 * latent_dim)).sqrt()[:, None]
        return cls(w, mean, (var / 2).clamp_min(floor))

    # -- use ----------------------------------------------------------------------------------------------------------

    def sample(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw n times and return (x [n, D], z [n, Q]); without a generator, the same every time."""
        generator = generator or stream(0, "sample")
        z = torch.randn(n, self.w.shape[1], dtype=self.w.dtype, generator=generator)
        noise = torch.randn(n, len(self.mean), dtype=self.w.dtype, generator=generator)
        return self.mean + z @ self.w.T + noise * self._noise.sqrt(), z

    def impute(self, x: Array, observed: Array | None) -> Tensor:
        """Return x [N, D] with each missing cell replaced by its conditional mean, E[x_mis | x_obs]."""
        x, observed = self._checked(x, observed)
        if observed is None:
            return x
        return torch.where(observed, x, self.mean + self.posterior(x, observed).mean @ self.w.T)


@dataclass(frozen=True, eq=False)
class ProbabilisticPCA(FactorAnalysis):
    """Probabilistic PCA: factor analysis whose columns share one noise variance. float64.

    "Probabilistic Principal Component Analysis" (Tipping, Bishop, 1999).

    Args:
        w: loadings [D, Q].
        mean: [D].
        var: sigma^2, a number.

    >>> model = ProbabilisticPCA.closed_form(torch.tensor([[2.0, 1.0], [-2.0, -1.0], [0.0, 1.0], [0.0, -1.0]]), 1)
    >>> print(f"{float(model.var):.4f}")
    0.3820
    """

    _per = "for all columns, []"

    @staticmethod
    def _pooled(total: Tensor, count: Tensor) -> Tensor:
        return total.sum() / count.sum()

    @classmethod
    def closed_form(cls, x: Array, latent_dim: int) -> Self:
        """Return the maximum of the likelihood, from the eigenvalues l of the covariance with divisor N.

        sigma^2 is the mean of the D - Q smallest; W = U (l - sigma^2)^(1/2) with the Q leading eigenvectors, each
        with the sign that makes its largest entry positive.

        Args:
            x: [N, D], nothing missing (else `fit` from `start`).
            latent_dim: Q, from 1 to D - 1.

        Raises:
            ConfigError: latent_dim.
            DataError: Q directions already explain everything, so that sigma^2 would be 0.
        """
        x, _ = checked(x)
        n, d = x.shape
        _check_latent_dim(latent_dim, d)
        y = x - x.mean(0)
        values, vectors = torch.linalg.eigh(y.T @ y / n)
        values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)[:, :latent_dim]
        var = values[latent_dim:].mean()
        if float(var) <= SINGULAR * float(values.mean()):
            raise DataError(f"{latent_dim} directions explain x entirely, sigma^2 is 0: choose fewer latents")
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        return cls(vectors * largest.sign() * (values[:latent_dim] - var).sqrt(), x.mean(0), var)


def _check_latent_dim(latent_dim: int, n_columns: int) -> None:
    if not 1 <= latent_dim < n_columns:
        raise ConfigError(f"expected latent_dim from 1 to {n_columns - 1} for {n_columns} columns; got {latent_dim}")


def _positive(var: Tensor, floor: float, whole: Tensor) -> Tensor:
    """Hold noise variances at or above the floor; refuse them next to 0 of the columns' whole variances."""
    var = var.clamp_min(floor)
    bad = (var <= 0) | (var <= SINGULAR * whole)
    if bool(bad.any()):
        where = f"of column {int(bad.nonzero()[0])}" if var.dim() else "of all columns"
        raise DataError(
            f"the noise variance {where} has fallen to 0: a constant column is to be left out; "
            "else give floor > 0, e.g. 1e-6 of its variance, or use fewer latents"
        )
    return var


def _one_if_shared(s: Tensor) -> Tensor:
    """Return s[:1] where all rows of s [N, Q, Q] are one matrix in memory: N times less to compute."""
    return s[:1] if s.stride(0) == 0 else s
