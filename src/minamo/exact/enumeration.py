"""A discrete latent with K states: sums over all of them are exact."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical

from minamo.errors import DataError


def exact_posterior(log_joint: Tensor) -> tuple[Tensor, Categorical]:
    """Return log p(x) = log sum_k p(x, z=k) and p(z|x) = p(x, z) / p(x).

    Args:
        log_joint: log p(x, z=k) in nats, [..., K].

    Returns:
        log p(x) [...] in nats, and the posterior over the K states, batch shape [...].

    Raises:
        DataError: no state gives the datum a finite density.

    >>> log_p, posterior = exact_posterior(torch.tensor([0.1, 0.3]).log())
    >>> print(f"{float(log_p.exp()):.2f} {float(posterior.probs[1]):.2f}")
    0.40 0.75
    """
    log_p = log_joint.logsumexp(-1)
    if not bool(log_p.isfinite().all()):
        where = (~log_p.isfinite()).nonzero()[0].tolist()
        raise DataError(f"log p(x) of datum {where} is not finite: no state of the latent gives it a density")
    return log_p, Categorical(logits=log_joint - log_p[..., None])


def elbo(log_joint: Tensor, q: Categorical) -> Tensor:
    """Return E_q[log p(x, z) - log q(z)] as a sum over the states, [...] in nats: a lower bound on log p(x).

    Args:
        log_joint: log p(x, z=k) in nats, [..., K].
        q: any distribution over the K states.

    >>> print(f"{float(elbo(torch.tensor([0.1, 0.3]).log(), Categorical(torch.ones(2))).exp()):.4f}")
    0.3464
    """
    return _expected(q, log_joint - q.logits)


def kl(q: Categorical, p: Categorical) -> Tensor:
    """Return KL(q || p) = E_q[log q(z) - log p(z)] as a sum over the states, [...] in nats, >= 0.

    From the logits: torch's own answers inf where a probability of p has underflowed to 0.

    >>> print(f"{float(kl(Categorical(torch.ones(2)), Categorical(torch.tensor([0.25, 0.75])))):.4f}")
    0.1438
    """
    return _expected(q, q.logits - p.logits)


def _expected(q: Categorical, values: Tensor) -> Tensor:
    # A state without probability counts nothing, be its value infinite.
    return torch.where(q.probs > 0, q.probs * values, torch.zeros_like(values)).sum(-1)


def binary_states(n_bits: int) -> Tensor:
    """Return every state of `n_bits` binary latents, [2^n_bits, n_bits] in float64, counting upwards.

    >>> binary_states(2).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    place = 2 ** torch.arange(n_bits).flip(0)
    return (torch.arange(2**n_bits)[:, None] // place % 2).to(torch.float64)
