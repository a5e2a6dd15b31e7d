"""The importance weights of many draws, datum by datum: the bounds that they give, and what they are worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from minamo.batch import Batch, Source
from minamo.distributions import kl_per_latent
from minamo.errors import ConfigError, DataError
from minamo.evidence.bounds import PerDatum
from minamo.evidence.judged import MEMORY, Judged, decoded_at_once, drawn
from minamo.evidence.pareto import effective_samples, pareto_k
from minamo.model import Draw, LatentVariableModel
from minamo.randomness import RowNoise, stream

ROWS = 64
"""Rows that are inferred together."""
BLOCK = 32
"""Draws whose noise is made together. Both are fixed: what a row is given must not depend on the memory at hand."""

Progress = Callable[[int, float, float], object]
"""Called with the number of rows done, and the mean so far and its standard error, nats per datum."""
LogLikelihood = Callable[[Tensor, Tensor], Tensor]
"""log p(x|z), [K, B], from x [B, D] and z [K, B, latent_dim], for K up to BLOCK and B up to ROWS."""


class Kept(Protocol):
    """Where an evaluation that is interrupted goes on from."""

    def load(self) -> tuple[dict[str, Tensor], int] | None:
        """Return what was found of the first rows, and of how many, or None."""
        ...

    def save(self, tensors: dict[str, Tensor], done: int) -> None:
        """Keep what has been found so far; called after every few rows."""
        ...


class Weighed(NamedTuple):
    """What K draws say of each row; float64, nats."""

    elbo: Tensor
    """J1 - J2 where the KL is known in closed form, else the mean of log w, [N]."""
    bounds: Tensor
    """IWAE-k for each k of a list, [len(ks), N]."""
    effective: Tensor
    """Effective number of the K draws, [N]."""
    pareto_k: Tensor
    """Shape of the weights' tail, [N]; NaN where there are too few draws to tell."""
    per_datum: PerDatum | None
    """J1, J2 and the posterior means, of a model of minamo's."""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All of them by name, in the same memory."""
        own = {} if self.per_datum is None else self.per_datum._asdict()
        return {k: v for k, v in (self._asdict() | own).items() if isinstance(v, Tensor)}


@torch.no_grad()
def weigh(
    model: Judged,
    source: Source,
    ks: Sequence[int],
    *,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Progress | None = None,
    log_px_z: LogLikelihood | None = None,
    kept: Kept | None = None,
) -> Weighed:
    """Draw K = max(ks) times from q(z|x) for every row, and weigh the draws; densities are over data units.

    The noise of a row follows from `seed` and its number in the source. So neither the memory budget nor the rows
    beside it change a row's numbers, but for rounding.

    Args:
        model: held fixed.
        source: the rows, [N, D].
        ks: for which k the bound IWAE-k is wanted, see `bounds_of`.
        seed: of the noise.
        memory: bytes that may be held beside model and data.
        progress: called after every few rows.
        log_px_z: in place of a minamo model's own, where there is a faster one of the same values.
        kept: what is found is kept there as it comes, and rows that it has already are not weighed again.

    Raises:
        ConfigError: no k, or one below 1; a budget too small for one row.
        DataError: the source serves fewer or more rows than it says it has.
    """
    if not len(ks) or min(ks) < 1:
        raise ConfigError(f"the numbers of draws must be whole numbers of at least 1, got {list(ks)}")
    n, k = len(source), max(ks)
    elbo, effective, tail, bounds = torch.empty(n), torch.empty(n), torch.empty(n), torch.empty(len(ks), n)
    whole = Weighed(elbo.double(), bounds.double(), effective.double(), tail.double(), _room(model, n))
    at_once = decoded_at_once(model, source.n_columns, memory // 2)
    done, begun = 0, _taken_up(whole, kept)
    for batch in source.batches(_rows(model, source.n_columns, k, memory // 2)):
        rows = slice(done, done + len(batch.x))
        done = rows.stop
        if done > n:
            break
        if done <= begun:
            continue
        log_w = _weigh_batch(model, batch, rows, k, at_once, seed, whole, log_px_z)
        whole.bounds[:, rows] = bounds_of(log_w, ks)
        whole.effective[rows], whole.pareto_k[rows] = effective_samples(log_w), pareto_k(log_w)
        if kept:
            kept.save(whole.tensors, done)
        if progress:
            so_far = whole.bounds[ks.index(k), :done] + source.log_det
            progress(done, float(so_far.mean()), float(so_far.std() / math.sqrt(done)) if done > 1 else math.nan)
    if done != n:
        raise DataError(f"the source says that it has {n} rows and served {done}: every row must be served once")
    return _in_data_units(whole, source.log_det, ks.index(k))


def _taken_up(whole: Weighed, kept: Kept | None) -> int:
    """Fill in what was found before an interruption; return of how many rows."""
    before = kept.load() if kept else None
    if before is None:
        return 0
    for name, tensor in whole.tensors.items():
        tensor.copy_(before[0][name])
    return before[1]


def bounds_of(log_w: Tensor, ks: Sequence[int]) -> Tensor:
    """IWAE-k for each k, [len(ks), B], from the same log w [K, B].

    For k < K the draws are cut into K // k disjoint blocks, and the bound is the mean over these: the expectation is
    that of one block, the noise less, and where each k divides the next the bounds increase in k for every single
    row, by Jensen's inequality. Draws that fill no block are left out.

    >>> bounds = bounds_of(torch.tensor([[1.0], [3.0]]).log(), [1, 2])
    >>> [round(float(b.exp()), 4) for b in bounds]  # sqrt(3), 2
    [1.7321, 2.0]
    """
    found = []
    for k in ks:
        blocks = log_w[: len(log_w) // k * k].unflatten(0, (-1, k))
        found.append(log_mean_exp(blocks, 1).mean(0))
    return torch.stack(found)


def log_mean_exp(log_w: Tensor, dim: int) -> Tensor:
    """Log of the mean of exp(log_w) along `dim`."""
    return torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])


def _rows(model: Judged, n_columns: int, k: int, memory: int) -> int:
    """How many rows to infer together, and to keep all weights of: in float64, and twice more while they are sorted.

    64, but for a posterior that decodes several draws of each row to find q, or a budget that does not allow it.
    """
    inferred = decoded_at_once(model, n_columns, memory)
    if isinstance(model, LatentVariableModel) and model.posterior.draws > 1:
        inferred = decoded_at_once(model, n_columns, memory, slopes=True) // model.posterior.draws
    return max(1, min(ROWS, inferred, memory // (3 * 8 * k)))


def _room(model: Judged, n: int) -> PerDatum | None:
    """Allocated before the loop: small results kept from batch to batch would lie between large blocks."""
    if not isinstance(model, LatentVariableModel):
        return None
    j1, j2, iwae, steps = torch.empty(4, n, dtype=torch.float64)
    z_mean, parts = torch.empty(2, n, model.prior.latent_dim, dtype=torch.float64)
    return PerDatum(j1, j2, iwae, z_mean, parts, steps)


def _weigh_batch(
    model: Judged,
    batch: Batch,
    rows: slice,
    k: int,
    at_once: int,
    seed: int,
    whole: Weighed,
    fast: LogLikelihood | None,
) -> Tensor:
    """Fill in what concerns single draws, and return log w [K, B], float64."""
    q, b = model.infer(batch), len(batch.x)
    log_w, (j1, j2) = batch.x.new_empty(k, b, dtype=torch.float64), batch.x.new_zeros(2, b, dtype=torch.float64)
    for some, log_w_some, log_px_z, kl in _draws(model, batch, q, rows, k, at_once, seed, fast):
        log_w[some] = log_w_some.double()
        if log_px_z is not None:
            j1 += log_px_z.double().sum(0) / k
            j2 += kl.double() * (len(log_px_z) / k)
    own = whole.per_datum
    if own is None or not isinstance(model, LatentVariableModel):
        whole.elbo[rows] = log_w.mean(0)
        return log_w.cpu()
    mean, parts, steps = q.mean, kl_per_latent(q, model.prior()), model.posterior.steps
    own.reconstruction[rows], own.kl[rows] = j1, j2
    own.z_mean[rows] = mean.double()
    own.kl_per_latent[rows] = math.nan if parts is None else parts.double()
    own.steps[rows] = 0.0 if steps is None else steps.double()
    whole.elbo[rows] = j1 - j2
    return log_w.cpu()


def _draws(
    model: Judged,
    batch: Batch,
    q: Distribution,
    rows: slice,
    k: int,
    at_once: int,
    seed: int,
    fast: LogLikelihood | None,
) -> Iterator[tuple[slice, Tensor, Tensor | None, Tensor]]:
    """Yield (which draws, log w, log p(x|z), KL), a few draws of all the rows at a time."""
    noise = RowNoise(seed, "weights", range(rows.start, rows.stop))
    other = stream(seed, "weights of", rows.start, device=batch.x.device)
    house = isinstance(model, LatentVariableModel)
    p = model.prior() if house else None
    latent_dim, most = q.event_shape[0], max(1, at_once // len(batch.x))
    for start in range(0, k, BLOCK):
        # Whole blocks, always: a stream must be read in the same portions whatever the budget.
        eps = noise(BLOCK, latent_dim).to(batch.x)
        for first, z in zip(range(start, k, most), drawn(q, eps, other)[: k - start].split(most), strict=False):
            some = slice(first, first + len(z))
            if house and p is not None:
                log_px_z = model.likelihood(z).log_prob(batch.x) if fast is None else fast(batch.x, z)
                draw = Draw(z, log_px_z, q, p)
                yield some, draw.log_w, draw.log_px_z, draw.kl
            else:
                yield some, model.log_joint(batch)(z) - q.log_prob(z), None, z.new_zeros(())


def _in_data_units(whole: Weighed, log_det: float, largest: int) -> Weighed:
    own, bounds = whole.per_datum, whole.bounds + log_det
    if own is not None:
        own = own._replace(reconstruction=own.reconstruction + log_det, iwae=bounds[largest])
    return whole._replace(elbo=whole.elbo + log_det, bounds=bounds, per_datum=own)
