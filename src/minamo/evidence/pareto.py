"""What importance weights are worth: their effective number, and how heavy their tail is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

UNRELIABLE = 0.7
"""A Pareto k above this: the mean of so many weights says little about their expectation (Vehtari et al., 2024)."""
LEAST = 25
"""Fewer weights than this have no tail to speak of."""
GRID = 30
"""Points of the quadrature over theta, before sqrt(M) more."""
PRIOR_WEIGHT, PRIOR_K = 10, 0.5
"""k is drawn towards 0.5 as if by 10 more observations: it steadies short tails."""


def effective_samples(log_w: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2 for weights [K, ...]: how many equal weights say as much, between 1 and K.

    >>> effective_samples(torch.tensor([[0.0, 0.0], [0.0, -99.0]])).tolist()
    [2.0, 1.0]
    """
    return torch.exp(2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0))


def pareto_k(log_w: Tensor) -> Tensor:
    """Estimate the shape k of the upper tail of weights, for each column of log w [K, B].

    The largest M = min(K / 5, 3 sqrt(K)) weights, less the largest of the others, are taken for draws of a generalized
    Pareto law. The weights have 1 / k moments: no variance above 1/2, no mean above 1; above 0.7 their mean cannot be
    relied on at any practical K. "Pareto Smoothed Importance Sampling" (Vehtari, Simpson, Gelman, Yao, Gabry, 2024).

    Returns:
        [B], float64; 0 where the weights of the tail are equal, NaN where K < 25.
    """
    k = len(log_w)
    if k < LEAST:
        return log_w.new_full(log_w.shape[1:], math.nan, dtype=torch.float64)
    m = math.ceil(min(0.2 * k, 3 * math.sqrt(k)))
    top = log_w.double().topk(m + 1, dim=0).values.flip(0)
    w = torch.exp(top - top[-1])
    excess = w[1:] - w[0]
    # Weights that rounding alone sets apart have no tail; a fit to rounding would say anything.
    equal = top[-1] - top[0] < 1e-6
    found = generalized_pareto_k(torch.where(equal, torch.linspace(0.5, 1, m).double()[:, None], excess))
    found = (found * m + PRIOR_K * PRIOR_WEIGHT) / (m + PRIOR_WEIGHT)
    return torch.where(equal, torch.zeros_like(found), found)


def generalized_pareto_k(excess: Tensor) -> Tensor:
    """Estimate the shape k of generalized Pareto laws from draws [M, B], positive and ascending: [B].

    The posterior mean of theta = k / sigma under a data-dependent prior, by quadrature; then k is the mean of
    log(1 - theta x), up to sign conventions. "A New and Efficient Estimation Method for the Generalized Pareto
    Distribution" (Zhang, Stephens, 2009).
    """
    n = len(excess)
    n_grid = GRID + math.floor(math.sqrt(n))
    j = torch.arange(1, n_grid + 1, dtype=excess.dtype)[:, None]
    # Tied weights may make it 0, and theta infinite.
    quartile = torch.maximum(excess[math.floor(n / 4 + 0.5) - 1], 1e-12 * excess[-1])
    theta = 1 / excess[-1] + (1 - torch.sqrt(n_grid / (j - 0.5))) / (3 * quartile)
    k = torch.log1p(-theta[:, None] * excess).mean(1)
    log_likelihood = n * (torch.log(-theta / k) - k - 1)
    theta = (torch.softmax(log_likelihood, 0) * theta).sum(0)
    return torch.log1p(-theta * excess).mean(0)
