"""From standard normal noise to draws of a distribution."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal


def push(q: Distribution, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return z = T(noise), a draw of q if the noise is standard normal, and log |det dT/dnoise|.

    Knows an Independent Normal and MultivariateNormal; any other class is asked for its own method `push`, first.

    Args:
        q: batch shape [B], event shape [D].
        noise: [K, 1 or B, D].

    Returns:
        z [K, B, D]; nats, [B] or [K, B].

    Raises:
        NotImplementedError: the class of q is none of these.

    >>> import torch
    >>> z, log_det = push(Independent(Normal(torch.ones(1, 2), 2.0), 1), torch.ones(1, 1, 2))
    >>> z.tolist(), round(float(log_det), 4)   # 2 log 2
    ([[[3.0, 3.0]]], 1.3863)
    """
    if hasattr(q, "push"):
        return q.push(noise)  # type: ignore[attr-defined]
    if type(q) is Independent and type(q.base_dist) is Normal:
        return q.mean + q.stddev * noise, q.stddev.log().sum(-1)
    if type(q) is MultivariateNormal:
        a = q.scale_tril
        z = q.loc + (a @ noise.movedim(0, -1)).movedim(-1, 0)
        return z, a.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    raise NotImplementedError(
        f"{type(q).__name__} cannot be drawn from given noise: expected MultivariateNormal, an Independent Normal, "
        "or a class with a method push(noise) that returns z and log |det dz/dnoise|"
    )
