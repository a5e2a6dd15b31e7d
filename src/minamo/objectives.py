"""Objectives: pure functions of a Draw. Each is a lower bound on log p(x), [B], nats, higher is better.

The number is always the bound. What sets the objectives of one bound apart is the gradient they carry, for the
parameters phi of q; that for the parameters of p(z) and p(x|z), on which no draw depends, is the plain one.

| bound  | plain gradient | along z alone            | along the score, z held constant |
|--------|----------------|--------------------------|----------------------------------|
| ELBO   | `elbo`         | `sticking_the_landing`   | `score_function`, `rloo`         |
| IWAE-K | `iwae`         | `doubly_reparameterized` |                                  |

`beta`, `free_bits` and `capacity` make objectives that trade the bound for something else: what training follows, and
what judges its epochs (`training/judge.py`). What is reported of a model stays its bound.

`tests/laws/test_gradients.py` holds each to be unbiased, `benchmarks/gradients.py` measures their variances.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minamo.distributions import detached, kl_per_latent
from minamo.errors import ConfigError
from minamo.model import Draw


def elbo(draw: Draw) -> Tensor:
    """J1 - J2 = E_q[log p(x|z)] - KL(q(z|x) || p(z)), the KL in closed form where there is one."""
    return draw.log_px_z.mean(0) - draw.kl_weight * draw.kl


def sticking_the_landing(draw: Draw) -> Tensor:
    """The ELBO as mean_k log p(x, z_k) - log q(z_k|x), whose gradient flows through z alone.

    The parameters of q are held constant inside log q: the part left out has expectation zero. What
    remains has no variance where q is the exact posterior, and so less noise close to it. "Sticking the Landing"
    (Roeder, Wu, Duvenaud, 2017).

    Raises:
        ConfigError: z is held constant, so that nothing would reach q.
    """
    _require_a_path_to_q(draw, "sticking_the_landing")
    return _log_w_along_z(draw).mean(0)


def score_function(draw: Draw) -> Tensor:
    """The ELBO as mean_k log w_k, with the gradient mean_k log w_k d/dphi log q(z_k|x) for the parameters phi of q.

    From d/dphi E_q[f(z)] = E_q[f(z) d/dphi log q(z)], which asks of q a density and nothing of how z was
    drawn. Its variance grows with the square of log w: see `rloo`. "Simple Statistical Gradient-Following
    Algorithms for Connectionist Reinforcement Learning" (Williams, 1992); "Black Box Variational Inference"
    (Ranganath, Gerrish, Blei, 2014).

    Args:
        draw: of `LatentVariableModel.draw(..., reparameterized=False)`.

    Raises:
        ConfigError: z carries a gradient of its own, which would be counted on top.
    """
    _require_held_draws(draw, "score_function")
    return _along_the_score(draw, draw.log_w)


def rloo(draw: Draw) -> Tensor:
    """`score_function` with a baseline: the REINFORCE leave-one-out estimator.

    The gradient for phi is mean_k (log w_k - mean_{j != k} log w_j) d/dphi log q(z_k|x). The baseline of
    a draw does not depend on it, and E_q[d/dphi log q] = 0, so the expectation is the same. "Buy 4 REINFORCE Samples,
    Get a Baseline for Free!" (Kool, van Hoof, Welling, 2019).

    Args:
        draw: K >= 2 draws of `LatentVariableModel.draw(..., reparameterized=False)`.

    Raises:
        ConfigError: z carries a gradient of its own, or there is but one draw.
    """
    _require_held_draws(draw, "rloo")
    k = len(draw.z)
    if k < 2:
        raise ConfigError("rloo needs k >= 2 draws, the baseline of each being the mean of the others; got 1")
    return _along_the_score(draw, draw.log_w - (draw.log_w.sum(0) - draw.log_w) / (k - 1))


def iwae(draw: Draw) -> Tensor:
    """Log (1/K) sum_k w_k, with w = p(x, z) / q(z|x): the ELBO for K = 1, tighter the larger K.

    Its plain gradient weighs that of each log w_k by w_k / sum_j w_j. "Importance Weighted Autoencoders" (Burda,
    Grosse, Salakhutdinov, 2015).

    >>> from torch.distributions import Independent, Normal
    >>> q = Independent(Normal(torch.zeros(1, 2), 1.0), 1)
    >>> draw = Draw(torch.zeros(2, 1, 2), torch.tensor([[1.0], [3.0]]).log(), q, q)   # w is 1 and 3
    >>> round(float(elbo(draw)), 4), round(float(iwae(draw)), 4)   # (log 1 + log 3) / 2, log 2
    (0.5493, 0.6931)
    """
    return _log_mean_exp(draw.log_w)


def doubly_reparameterized(draw: Draw) -> Tensor:
    """`iwae`, whose gradient for q flows through z alone: sum_k v_k^2 (d log w_k / dz_k) (dz_k / dphi), v = w / sum w.

    phi are the parameters of q, held constant inside log q. The score d/dphi log q(z|x) of the plain gradient is
    reparameterized a second time, which makes a square of its weight; what remains has no noise where q is the exact
    posterior. The gradient for the parameters of p(z) and p(x|z) is that of `iwae`. Costs one more pass back through
    the decoder. "Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives" (Tucker, Lawson, Gu,
    Maddison, 2019).

    Raises:
        ConfigError: z is held constant, so that nothing would reach q.
    """
    _require_a_path_to_q(draw, "doubly_reparameterized")
    log_w = _log_w_along_z(draw)
    bound = _log_mean_exp(log_w)
    if not (log_w.requires_grad and draw.z.requires_grad):
        return bound
    # As it stands the bound weighs both paths by v. Adding (v^2 - v) d log w/dz along z makes v^2 of the one that leads
    # to q and leaves the other alone. A hook on z would do so too, but for whoever uses the draw next as well.
    v = log_w.detach().softmax(0)
    (slope,) = torch.autograd.grad(log_w.sum(), draw.z, retain_graph=True)
    along_z = (slope * draw.z).sum(-1)
    return _with_gradient_of(bound + ((v**2 - v) * along_z).sum(0), value=bound)


def beta(weight: float) -> Callable[[Draw], Tensor]:
    """Return J1 - weight * J2 as an objective, with the gradient of `sticking_the_landing`: weight 1 is the ELBO.

    Above 1 a bound still, but not the tightest; below 1 none. Its best q is p(z) p(x|z)^(1/weight), normalized.
    "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework" (Higgins et al., 2017).
    """

    def objective(draw: Draw) -> Tensor:
        _require_a_path_to_q(draw, "beta")
        return _log_w_along_z(draw, weight).mean(0)

    return objective


def free_bits(nats: float) -> Callable[[Draw], Tensor]:
    """Return J1 - sum_j max(nats, KL_j) as an objective, KL_j that of latent j averaged over the batch.

    It is the ELBO, with the gradient of `sticking_the_landing`, less what latents lack of `nats`: up to there a latent
    carries what it likes at no price, so none is given up early. "Improved Variational Inference with Inverse
    Autoregressive Flow" (Kingma et al., 2016). Of a q whose latents depend on each other KL_j is that of its marginals,
    and their dependence is paid for in full.

    Raises:
        ConfigError: when called, if the KL of single latents is not known in closed form.
    """

    def objective(draw: Draw) -> Tensor:
        parts = kl_per_latent(draw.q, draw.p)
        if parts is None:
            raise ConfigError(
                "free_bits needs the KL of every latent: prior normal, family diagonal or full-covariance"
            )
        # Rounded, the KL of a latent that has collapsed may be below 0.
        lacking = (nats - parts.mean(0).clamp_min(0)).relu().sum()
        return sticking_the_landing(draw) - draw.kl_weight * lacking

    return objective


def capacity(nats: float, strength: float) -> Callable[[Draw], Tensor]:
    """Return J1 - strength * |J2 - nats| as an objective, J2 averaged over the batch: the rate is led to `nats`.

    It gets there if `strength` is more than J1 loses with the last nat. Far more of it slows J1 down: the sign changes
    with every batch, and the optimizer sees that noise above all else. A warm-up raises the capacity from 0 to
    `nats`, as in "Understanding disentangling in beta-VAE" (Burgess et al., 2018). With strength >= 1, at most the ELBO
    plus `nats`, on average.
    """

    def objective(draw: Draw) -> Tensor:
        return draw.log_px_z.mean(0) - strength * (draw.kl.mean() - draw.kl_weight * nats).abs()

    return objective


def _log_w_along_z(draw: Draw, weight: float = 1.0) -> Tensor:
    """Log w with the parameters of q held constant in log q; `weight` is one more of the prior and q."""
    return draw.log_px_z + weight * draw.kl_weight * (draw.log_pz - detached(draw.q).log_prob(draw.z))


def _log_mean_exp(log_w: Tensor) -> Tensor:
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))


def _along_the_score(draw: Draw, reward: Tensor) -> Tensor:
    """The mean of log w; its gradient goes to q along log q, weighed by the reward, and to p as ever."""
    surrogate = reward.detach() * draw.log_qz + draw.log_px_z + draw.kl_weight * draw.log_pz
    return _with_gradient_of(surrogate.mean(0), value=draw.log_w.mean(0))


def _with_gradient_of(surrogate: Tensor, value: Tensor) -> Tensor:
    """`value`, to the last bit, carrying the gradient of `surrogate`."""
    return value.detach() + (surrogate - surrogate.detach())


def _require_held_draws(draw: Draw, name: str) -> None:
    if draw.z.requires_grad:
        raise ConfigError(f"{name} needs draws held constant, these are reparameterized: draw(reparameterized=False)")


def _require_a_path_to_q(draw: Draw, name: str) -> None:
    # A posterior that is not being learned has constant draws too, and needs no path.
    if not draw.z.requires_grad and draw.log_qz.requires_grad:
        raise ConfigError(f"{name} needs reparameterized draws, these are held constant: draw(reparameterized=True)")
