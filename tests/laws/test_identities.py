"""What is true of every model whose posterior is exact, and what each slip would break."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from minamo.batch import Batch
from minamo.distributions import IsotropicNormal
from minamo.evidence import evaluate
from minamo.model import Draw, LatentVariableModel
from minamo.objectives import elbo, sticking_the_landing
from minamo.randomness import drawing_from, stream
from tests.oracle.linear_gaussian import Oracle, oracle


class One:
    """A source of one batch."""

    log_det = 0.0

    def __init__(self, batch: Batch):
        self.batch, self.n_columns = batch, batch.x.shape[1]

    def __len__(self) -> int:
        return len(self.batch.x)

    def batches(self, size: int) -> Iterator[Batch]:
        yield self.batch


def drawn(truth: Oracle, n: int = 50, k: int = 1, name: str = "law") -> Draw:
    with drawing_from(stream(0, name)):
        return truth.model.draw(truth.batch(n), k)


def zero_variance(truth: Oracle) -> float:
    """Largest |log w - log p(x)| over data and draws: 0 with the exact posterior."""
    log_p = truth.log_p.log_prob(truth.batch(50).x)
    return float((drawn(truth, k=20).log_w - log_p).abs().max().detach())


def elbo_plus_kl(truth: Oracle, shift: float = 0.3) -> float:
    """Largest |log p - ELBO - KL(q || posterior)| after moving q away, the ELBO by its closed form."""
    batch = truth.batch(50)
    exact = truth.model.posterior(batch, truth.model.log_joint(batch))
    q = Independent(Normal(exact.mean + shift, exact.stddev * 1.2), 1)
    draw = Draw(q.mean[None], truth.model.likelihood(q.mean[None]).log_prob(batch.x), q, truth.model.prior())
    # E_q log p(x|z) = log p(x|E z) - tr(W' W Sigma) / (2 sigma^2)
    correction = ((truth.w**2).sum(0) * q.variance).sum(-1) / (2 * truth.sigma**2)
    gap = truth.log_p.log_prob(batch.x) - (elbo(draw) - correction) - kl_divergence(q, exact)
    return float(gap.abs().max().detach())


def test_log_weights_have_no_variance_at_the_exact_posterior():
    assert zero_variance(oracle()) < 1e-8


def test_log_p_is_elbo_plus_kl():
    assert elbo_plus_kl(oracle()) < 1e-10


def test_sampler_has_the_law_it_states():
    """z from q and x from p(x|z): the identity above is blind to a sampler that disagrees with its density."""
    draw = drawn(oracle(), n=4, k=100_000)
    standardized = (draw.z - draw.q.mean) / draw.q.stddev
    standard_error = 1 / math.sqrt(1e5)
    assert standardized.mean(0).abs().max() < 5 * standard_error
    assert (standardized**2).mean(0).sub(1).abs().max() < 5 * math.sqrt(2) * standard_error


def _kl_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    right = vars(Draw)["kl"].func
    monkeypatch.setattr(Draw, "kl", property(lambda self: -right(self)))


def _scale_for_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Independent.log_prob

    def wrong(self: Independent, value: Tensor) -> Tensor:
        base = self.base_dist
        if isinstance(base, Normal) and base.scale.dim() == 2 and base.scale.shape[-1] == 3:
            return right(Independent(Normal(base.loc, base.scale**2), 1), value)
        return right(self, value)

    monkeypatch.setattr(Independent, "log_prob", wrong)


def _dropped_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    right = IsotropicNormal.log_prob
    monkeypatch.setattr(IsotropicNormal, "log_prob", lambda self, v: right(self, v) + 0.5 * math.log(2 * math.pi))


def _mean_over_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LatentVariableModel.draw

    def wrong(self: LatentVariableModel, batch, k: int = 1, **how) -> Draw:
        draw = right(self, batch, k, **how)
        return replace(draw, log_px_z=draw.log_px_z / batch.x.shape[1])

    monkeypatch.setattr(LatentVariableModel, "draw", wrong)


@pytest.mark.parametrize(
    ("bug", "law"),
    [
        (_kl_sign, elbo_plus_kl),
        (_scale_for_variance, zero_variance),
        (_dropped_constant, zero_variance),
        (_mean_over_columns, zero_variance),
    ],
    ids=["kl sign", "scale for variance", "half log 2 pi dropped", "mean over columns"],
)
def test_planted_bugs_are_caught(monkeypatch, bug, law):
    truth = oracle()
    bug(monkeypatch)
    assert law(truth) > 0.1


def test_kl_by_monte_carlo_equals_its_closed_form(monkeypatch):
    draw = drawn(oracle(), n=20, k=20_000)
    exact = draw.kl
    values = draw.log_qz - draw.log_pz
    se = values.std(0) / math.sqrt(len(values))
    assert se.max() < 0.05
    assert ((values.mean(0) - exact).abs() < 5 * se).all()
    monkeypatch.setattr("minamo.model.closed_form_kl", lambda q, p: None)
    assert torch.allclose(replace(draw).kl, values.mean(0))


def test_bounds_are_in_order():
    """ELBO <= IWAE-5 <= IWAE-50 <= log p, each by more than its error, for a posterior that is too wide."""
    truth = oracle()
    net = truth.model.posterior.net  # type: ignore[union-attr]
    with torch.no_grad():
        net.last.bias[3:] += 2.0  # type: ignore[union-attr,operator]
    batch = truth.batch(2000)
    log_p = truth.log_p.log_prob(batch.x)
    with drawing_from(stream(0, "order")):
        few, many = (evaluate(truth.model, One(batch), k) for k in (5, 50))
    rungs = [few.elbo, few.iwae, many.iwae, log_p]
    for low, high in itertools.pairwise(rungs):
        difference = high - low
        assert difference.mean() > 2 * difference.std() / math.sqrt(len(difference))


def test_iwae_with_one_draw_is_the_elbo_of_that_draw():
    truth = oracle()
    with drawing_from(stream(0, "one")):
        one = evaluate(truth.model, One(truth.batch(30)), 1)
    with drawing_from(stream(0, "one")):
        draw = truth.model.draw(truth.batch(30), 1)
    assert torch.allclose(one.iwae, draw.log_w[0], atol=1e-10)


def test_chunks_of_draws_do_not_change_the_bound(monkeypatch):
    truth = oracle()
    with drawing_from(stream(0, "chunks")):
        whole = evaluate(truth.model, One(truth.batch(30)), 64)
    monkeypatch.setattr("minamo.evidence.bounds.NUMBERS_AT_ONCE", 30 * 7 * 8)
    with drawing_from(stream(0, "chunks")):
        parts = evaluate(truth.model, One(truth.batch(30)), 64)
    # Eight chunks of eight draws use other noise, but with the exact posterior every draw says the same.
    assert torch.allclose(whole.iwae, parts.iwae, atol=1e-9)
    assert torch.allclose(whole.kl, parts.kl, atol=1e-10)


def gradient(truth: Oracle, objective, k: int) -> Tensor:
    """d mean objective / d mu-bias of the encoder, one per draw: [K, latent_dim]."""
    draw = drawn(truth, n=1, k=k, name="gradient")
    bias = truth.model.posterior.net.last.bias  # type: ignore[union-attr]
    rows = []
    for i in range(k):
        one = Draw(draw.z[i : i + 1], draw.log_px_z[i : i + 1], draw.q, draw.p)
        rows.append(torch.autograd.grad(objective(one).sum(), bias, retain_graph=True)[0])  # type: ignore[arg-type]
    return torch.stack(rows)


def test_sticking_the_landing_has_no_gradient_at_the_exact_posterior():
    truth = oracle()
    assert gradient(truth, sticking_the_landing, 20).abs().max() < 1e-8
    assert gradient(truth, elbo, 20).abs().max() > 0.1


def test_sticking_the_landing_is_unbiased():
    truth = oracle()
    with torch.no_grad():
        truth.model.posterior.net.last.bias += 0.3  # type: ignore[union-attr,operator]
    both = [gradient(truth, f, 3000) for f in (sticking_the_landing, elbo)]
    difference = both[0] - both[1]
    se = difference.std(0) / math.sqrt(len(difference))
    assert (difference.mean(0).abs() < 5 * se).all()
    assert both[1].mean(0).abs().max() > 20 * se.max()
