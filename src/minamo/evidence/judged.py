"""What is judged: a model of minamo's, or any other VAE that can say log p(x, z) and draw from its q(z|x)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from minamo.batch import Batch, LogJoint
from minamo.distributions import push
from minamo.errors import ConfigError
from minamo.model import LatentVariableModel
from minamo.nets import Net
from minamo.randomness import drawing_from

MEMORY = 10**9
"""Bytes that an evaluation may hold beside the model and the data."""
NUMBERS_AT_ONCE = 2**21
"""Values of one layer held at one time, however large the budget: 8 MB in float32 stay near the processor."""
LIVE = 8
"""Tensors of a decoder's widest layer that are held at one time, at most."""
LIVE_WITH_SLOPES = 32
"""The same where its gradient is taken: all layers are kept, each with what lies between it and the next."""


class Judged(Protocol):
    """What every measure asks of a model: `LatentVariableModel` has it, and `Adapter` gives it to others."""

    def infer(self, batch: Batch) -> Distribution:
        """Return q(z|x), batch shape [B], event shape [latent_dim]; it must have `sample` and `log_prob`."""
        ...

    def log_joint(self, batch: Batch) -> LogJoint:
        """Return log p(x, z) of the rows, nats, as a function of z."""
        ...

    def simulate(self, n: int) -> tuple[Tensor, Tensor]:
        """Draw z ~ p(z) and x ~ p(x|z), [n, latent_dim] and [n, D]."""
        ...


class Adapter:
    """A VAE that minamo did not train.

    Nothing is assumed about its nets or its library. Both densities must be complete: log p(x, z) = log p(z) +
    log p(x|z) with every constant, summed over latents and columns.

    Args:
        log_joint: (x [B, D], z [K, B, latent_dim]) -> log p(x, z), [K, B], nats, differentiable in z.
        posterior: x [B, D] -> q(z|x), a distribution with batch shape [B] and event shape [latent_dim].
        prior: () -> p(z); asked for by a path that starts at the prior.
        simulate: n -> (z [n, latent_dim], x [n, D]) drawn from the model; asked for by `sandwich` and `calibration`.
        widest: numbers that its decoder holds for one z at its widest place, where that is more than D.

    >>> from torch.distributions import Independent, Normal
    >>> def log_joint(x, z):  # z ~ N(0, 1), x | z ~ N(z, 1): x ~ N(0, 2)
    ...     return (Normal(0.0, 1.0).log_prob(z) + Normal(z, 1.0).log_prob(x)).sum(-1)
    >>> exact = Adapter(log_joint, lambda x: Independent(Normal(x / 2, 0.5**0.5), 1))
    >>> from minamo.evidence import Given, weigh
    >>> round(float(weigh(exact, Given(torch.ones(3, 1)), [10]).bounds[0, 0]), 4)  # log N(1; 0, 2)
    -1.5155
    """

    def __init__(
        self,
        log_joint: Callable[[Tensor, Tensor], Tensor],
        posterior: Callable[[Tensor], Distribution],
        *,
        prior: Callable[[], Distribution] | None = None,
        simulate: Callable[[int], tuple[Tensor, Tensor]] | None = None,
        widest: int = 0,
    ):
        self._log_joint, self._posterior, self._simulate = log_joint, posterior, simulate
        self.prior = prior
        self.widest = widest

    def infer(self, batch: Batch) -> Distribution:
        """See `Judged`."""
        return self._posterior(batch.x)

    def log_joint(self, batch: Batch) -> LogJoint:
        """See `Judged`."""

        def log_joint(z: Tensor, rows: Tensor | None = None) -> Tensor:
            return self._log_joint(batch.x if rows is None else batch.x[rows], z)

        return log_joint

    def simulate(self, n: int) -> tuple[Tensor, Tensor]:
        """See `Judged`."""
        if self._simulate is None:
            raise ConfigError("this measure needs data drawn from the model: give the Adapter a function `simulate`")
        with torch.no_grad():
            return self._simulate(n)


class Given:
    """A tensor of rows [N, D] as a source; densities are over x as it stands."""

    log_det = 0.0

    def __init__(self, x: Tensor):
        self.x = x
        self.n_columns = x.shape[1]

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield every row once, in order, `size` at a time."""
        for rows in self.x.split(size):
            yield Batch(rows)


def held_joint(model: Judged, batch: Batch) -> LogJoint:
    """Return log p(x, z) with p(z) made once: a VampPrior encodes its pseudo-inputs each time it is asked."""
    if not isinstance(model, LatentVariableModel):
        return model.log_joint(batch)
    with torch.no_grad():
        p = model.prior()

    def log_joint(z: Tensor, rows: Tensor | None = None) -> Tensor:
        x = batch.x if rows is None else batch.x[rows]
        return model.likelihood(z).log_prob(x) + p.log_prob(z)

    return log_joint


def drawn(q: Distribution, noise: Tensor, generator: torch.Generator) -> Tensor:
    """Return draws of q, [K, B, latent_dim].

    Args:
        q: batch shape [B] or [].
        noise: standard normal [K, B, latent_dim], which becomes the draws where the family of q allows it.
        generator: draws for a q of any other family.
    """
    try:
        return push(q, noise)[0]
    except NotImplementedError:
        k, n = noise.shape[:2]
        with drawing_from(generator), torch.no_grad():
            return q.sample(torch.Size([k] if len(q.batch_shape) else [k, n]))


def widest(model: Judged, n_columns: int) -> int:
    """Numbers held for one decoded row, at the widest place: a hidden layer may be wider than the data."""
    if not isinstance(model, torch.nn.Module):
        return max(n_columns, getattr(model, "widest", 0))
    nets = (module.widest for module in model.modules() if isinstance(module, Net))
    return max(n_columns, *nets, *(len(p) for p in model.parameters() if p.dim() > 1), 1)


def decoded_at_once(model: Judged, n_columns: int, memory: int, *, slopes: bool = False) -> int:
    """How many z may be decoded together within a budget of bytes.

    Raises:
        ConfigError: not even one.
    """
    # Eight bytes a number: a model may be float64.
    each = 8 * (LIVE_WITH_SLOPES if slopes else LIVE) * widest(model, n_columns)
    most = memory // each
    if most < 1:
        raise ConfigError(f"a memory budget of {memory:,} bytes is too small: one decoded row takes {each:,}")
    return int(min(most, max(1, NUMBERS_AT_ONCE // widest(model, n_columns))))
