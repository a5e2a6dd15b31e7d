"""Rate = information + marginal KL."""

from __future__ import annotations

import math

import torch
from torch.distributions import Normal

from minamo.evidence import surgery
from minamo.exact.enumeration import kl
from minamo.posteriors import Exact
from minamo.randomness import drawing_from, stream
from tests.evidence.test_gaps import Served
from tests.oracle.correlated import correlated


def test_every_draw_of_the_rate_is_information_plus_marginal():
    truth = correlated(3, 6, 0.5, n=50)
    with drawing_from(stream(0, "surgery")):
        found = surgery(truth.model(Exact(3)), Served(truth))
    assert (found.rate - found.information - found.marginal).abs().max() < 1e-12


def test_each_part_is_what_quadrature_says():
    """Three rows, one latent: the aggregated posterior is a mixture of three normals."""
    truth = correlated(1, 3, 0.8, n=3)
    model = truth.model(Exact(1))
    with drawing_from(stream(0, "surgery")):
        draws = [surgery(model, Served(truth)) for _ in range(4000)]
    q = model.infer(truth.batch)
    z = torch.linspace(-14, 14, 20_001, dtype=torch.float64)
    log_q = q.log_prob(z[:, None, None].expand(-1, 3, -1)).detach()
    log_mix = torch.logsumexp(log_q, 1) - math.log(3)
    log_pz = Normal(0.0, 1.0).log_prob(z)
    marginal = torch.trapezoid(log_mix.exp() * (log_mix - log_pz), z)
    information = torch.trapezoid(log_q.exp() * (log_q - log_mix[:, None]), z, dim=0).mean()
    rate = torch.trapezoid(log_q.exp() * (log_q - log_pz[:, None]), z, dim=0).mean()
    assert abs(rate - information - marginal) < 1e-10
    for name, exact in (("rate", rate), ("information", information), ("marginal", marginal)):
        means = torch.stack([getattr(d, name).mean() for d in draws])
        se = means.std() / math.sqrt(len(means))
        assert se < 0.02
        assert abs(means.mean() - exact) < 5 * se, name


def test_the_decomposition_on_a_latent_with_few_states():
    """sum over states, nothing sampled: E_n KL(q_n || p) = I + KL(mean q || p)."""
    logits = torch.randn(6, 4, generator=stream(0, "states"), dtype=torch.float64)
    prior = torch.distributions.Categorical(probs=torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64))
    q = torch.distributions.Categorical(logits=logits)
    mixed = torch.distributions.Categorical(probs=q.probs.mean(0))
    assert abs(kl(q, prior).mean() - kl(q, mixed).mean() - kl(mixed, prior)) < 1e-12
