"""A distribution cut from the graph."""

from __future__ import annotations

from torch.distributions import Distribution, Independent, MultivariateNormal, Normal


def detached(q: Distribution) -> Distribution:
    """Return the same law with its parameters held constant, so that gradients reach log q(z) through z alone.

    Knows Normal, MultivariateNormal and an Independent around one it knows. Any other class is asked for its own
    method `detached()`, which takes nothing and returns a distribution; it is asked first, so that a subclass
    is never taken for its parent.

    Args:
        q: any batch and event shape.

    Raises:
        NotImplementedError: the class of q is none of these.

    >>> import torch
    >>> mu = torch.ones(2, requires_grad=True)
    >>> held = detached(Independent(Normal(mu, 1.0), 1))
    >>> round(float(held.log_prob(torch.ones(2))), 6), held.mean.requires_grad   # -log 2 pi
    (-1.837877, False)
    """
    if hasattr(q, "detached"):
        return q.detached()  # type: ignore[attr-defined]
    if type(q) is Independent:
        return Independent(detached(q.base_dist), q.reinterpreted_batch_ndims, validate_args=False)
    if type(q) is Normal:
        return Normal(q.loc.detach(), q.scale.detach(), validate_args=False)
    if type(q) is MultivariateNormal:
        # Its arg_constraints name three matrices for one: covariance, precision, and the factor it computes with.
        return MultivariateNormal(q.loc.detach(), scale_tril=q.scale_tril.detach(), validate_args=False)
    raise NotImplementedError(
        f"{type(q).__name__} cannot be cut from the graph: expected Normal, MultivariateNormal, Independent, or a "
        "class with a method detached() that returns the same law with its parameters detached"
    )
