"""Objectives: pure functions of a Draw. Each is a lower bound on log p(x), [B], nats, higher is better."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution, Independent

from minamo.model import Draw


def elbo(draw: Draw) -> Tensor:
    """J1 - J2 = E_q[log p(x|z)] - KL(q(z|x) || p(z)), the KL in closed form where there is one."""
    return draw.log_px_z.mean(0) - draw.kl


def sticking_the_landing(draw: Draw) -> Tensor:
    """The ELBO as mean_k log p(x, z_k) - log q(z_k|x), whose gradient flows through z alone.

    The parameters of q are held constant inside log q: the part left out has expectation zero. What
    remains has no variance where q is the exact posterior, and so less noise close to it. "Sticking the Landing"
    (Roeder, Wu, Duvenaud, 2017).
    """
    return (draw.log_px_z + draw.log_pz - _held(draw.q).log_prob(draw.z)).mean(0)


def _held(q: Distribution) -> Distribution:
    """The same distribution, cut from the graph."""
    if isinstance(q, Independent):
        return Independent(_held(q.base_dist), q.reinterpreted_batch_ndims, validate_args=False)
    parameters = {name: getattr(q, name).detach() for name in q.arg_constraints}
    return type(q)(**parameters, validate_args=False)
