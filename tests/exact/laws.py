"""What is true of every exact model, as numbers that are 0 when it holds, and the models to try it on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from minamo.exact import FactorAnalysis, GaussianMixture, HalfStep, ProbabilisticPCA, em

t = partial(torch.tensor, dtype=torch.float64)
KINDS = ["mixture", "factor analysis", "ppca"]


def rows(n: int = 80, d: int = 5, seed: int = 0) -> Tensor:
    """Two correlated clumps, off the origin and in different units, [n, d]."""
    generator = torch.Generator().manual_seed(seed)
    shape = torch.randn(d, d, generator=generator, dtype=torch.float64)
    side = torch.randint(2, (n, 1), generator=generator)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64) @ shape + 4.0 * side + 10.0
    return x * torch.linspace(0.5, 2.0, d, dtype=torch.float64)


def mask(x: Tensor, share: float = 0.3, seed: int = 0) -> Tensor:
    """Cells lost at random, [n, d] True where observed; the first row is complete, the second is empty."""
    observed = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) >= share
    observed[0], observed[1] = True, False
    return observed


def start(kind: str, x: Tensor, observed: Tensor | None = None, seed: int = 0, floor: float = 0.0) -> Any:
    """Start `kind` with two latents or components."""
    if kind == "mixture":
        return GaussianMixture.start(x, 2, seed, observed=observed, floor=floor)
    cls = FactorAnalysis if kind == "factor analysis" else ProbabilisticPCA
    return cls.start(x, min(2, x.shape[1] - 1), seed=seed, observed=observed, floor=floor)


def run(kind: str, missing: bool, steps: int = 30) -> list[HalfStep]:
    """Steps of EM on the rows above."""
    x = rows()
    observed = mask(x) if missing else None
    return list(em(start(kind, x, observed), x, observed=observed, steps=steps, tol=0))


def gap(records: Iterable[HalfStep]) -> float:
    """Largest |log p - ELBO - KL| over data and half-steps, nats."""
    bounds = [bound for record in records for bound in record.each or ()]
    return max(float((b.log_p - b.elbo - b.kl).abs().max()) for b in bounds)


def kl_after_e(records: Iterable[HalfStep]) -> float:
    """Largest |KL| over data after an E half, nats."""
    return max(float(r.each[1].kl.abs().max()) for r in records if r.half == "E" and r.each)


def fall(records: Iterable[HalfStep]) -> float:
    """Furthest that mean log p, or the ELBO, has fallen in one half-step, nats per datum."""
    return max(max(-r.gain, r.before.elbo - r.after.elbo) for r in records)


def slope(kind: str, missing: bool) -> float:
    """Largest |d mean ELBO(q, parameters)| right after an M-step, where q is held: 0 at a maximum."""
    x = rows()
    observed = mask(x) if missing else None
    model = start(kind, x, observed)
    q = model.posterior(x, observed)
    model = model.m_step(x, q, observed=observed)
    leaves = [getattr(model, f.name).clone().requires_grad_() for f in fields(model)]
    type(model)(*leaves).elbo(x, q, observed=observed).mean().backward()
    gradients = [leaf.grad for leaf in leaves]
    if kind == "mixture":  # weights move on the simplex: what counts is how their slopes differ
        gradients[0] = gradients[0] - gradients[0].mean()
    return max(float(g.abs().max()) for g in gradients)


def marginal_error(kind: str) -> float:
    """Largest |log p(x_obs) - its marginal Gaussian, cut out row by row and written down by torch|, nats."""
    x = rows()
    observed = mask(x)
    model = start(kind, x, observed)
    model = model.m_step(x, model.posterior(x, observed), observed=observed)
    if kind == "mixture":
        parts = [*zip(model.weights, model.means, model.covariances, strict=True)]
    else:
        noise = model.var * torch.ones(x.shape[1], dtype=torch.float64)
        parts = [(torch.ones(()), model.mean, model.w @ model.w.T + noise.diag())]
    truth = torch.zeros(len(x), dtype=torch.float64)
    for n, o in enumerate(observed):
        if o.any():
            each = [w.log() + MultivariateNormal(m[o], c[o][:, o]).log_prob(x[n, o]) for w, m, c in parts]
            truth[n] = torch.stack(each).logsumexp(0)
    return float((model.log_prob(x, observed) - truth).abs().max())
