"""The weights of many draws: bounds, effective number, and what must not change them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal

from minamo.batch import Batch
from minamo.errors import ConfigError, DataError
from minamo.evidence import Adapter, Given, weigh
from minamo.evidence.weights import bounds_of
from minamo.exact.enumeration import exact_posterior
from minamo.posteriors import Exact
from minamo.randomness import RowNoise
from tests.evidence.test_gaps import Served, amortized
from tests.oracle.correlated import correlated


def widened(c: float, d: int = 1) -> Adapter:
    """x = z + e, all standard normal; q is the posterior with its standard deviations multiplied by c."""

    def log_joint(x: Tensor, z: Tensor) -> Tensor:
        return (Normal(0.0, 1.0).log_prob(z) + Normal(z, 1.0).log_prob(x)).sum(-1)

    return Adapter(log_joint, lambda x: Independent(Normal(x / 2, torch.full_like(x, c * 0.5**0.5)), 1))


def true_log_p(x: Tensor) -> Tensor:
    return Normal(0.0, 2**0.5).log_prob(x).sum(-1)


def some_x(n: int, d: int = 1) -> Tensor:
    return RowNoise(0, "x", range(n))(d).double() * 2**0.5


def test_the_exact_posterior_says_log_p_with_every_draw():
    truth = correlated(4, 9, 0.3, n=130)
    found = weigh(truth.model(Exact(4)), Served(truth), [1, 7, 100])
    for bound in found.bounds:
        assert (bound - (truth.log_p - 5.0)).abs().max() < 1e-8
    # The ELBO takes the KL in closed form, and J1 from the draws.
    off = found.elbo - (truth.log_p - 5.0)
    assert abs(off.mean()) < 5 * off.std() / math.sqrt(130)
    assert off.std() < 0.2
    assert (found.effective - 100).abs().max() < 1e-6
    assert torch.equal(found.pareto_k, torch.zeros(130, dtype=torch.float64))


def test_bounds_increase_in_k_for_every_single_row():
    truth = correlated(4, 9, 0.3, n=70)
    found = weigh(truth.model(amortized(truth)), Served(truth), [1, 5, 50, 500])
    assert (found.bounds.diff(dim=0) >= -1e-9).all()
    assert (found.bounds.diff(dim=0).mean(1) > 0.01).all()
    assert found.bounds[-1].mean() < truth.log_p.mean() - 5.0 + 0.05


@pytest.mark.parametrize("k", [25, 100])
def test_the_error_is_the_variance_of_the_weights_over_2k(k):
    """With q = N(m, (c s)^2), Var(w / p) = c^2 / sqrt(2 c^2 - 1) - 1.

    The mean of w / p is 1: taken off, it takes most of the noise away.
    """
    c, x = 1.5, some_x(4000)
    variance = c**2 / math.sqrt(2 * c**2 - 1) - 1
    found = weigh(widened(c), Given(x), [k, 1000])
    error = torch.expm1(found.bounds[1] - true_log_p(x)) - (found.bounds[0] - true_log_p(x))
    ratio, se = error.mean() * 2 * k / variance, error.std() / math.sqrt(len(x)) * 2 * k / variance
    assert se < 0.01
    # The next term of the expansion is of order 1 / k.
    assert abs(float(ratio) - 1) < 5 * float(se) + 1 / k


def test_neither_budget_nor_neighbors_change_a_row(monkeypatch):
    truth = correlated(3, 6, 0.5, n=70)
    model = truth.model(amortized(truth))
    whole = weigh(model, Served(truth), [10, 100])
    parts = weigh(model, Served(truth), [10, 100], memory=40_000)
    monkeypatch.setattr("minamo.evidence.weights.ROWS", 13)
    others = weigh(model, Served(truth), [10, 100])
    for found in (parts, others):
        for a, b in zip(whole[:4], found[:4], strict=True):
            assert torch.allclose(a, b, atol=1e-9)
        assert whole.per_datum is not None
        assert found.per_datum is not None
        assert torch.allclose(whole.per_datum.reconstruction, found.per_datum.reconstruction, atol=1e-9)
    first = weigh(model, Given(truth.batch.x[:5]), [10, 100])
    assert torch.allclose(whole.bounds[:, :5] + 5.0, first.bounds, atol=1e-9)
    with pytest.raises(ConfigError, match="too small"):
        weigh(model, Served(truth), [10], memory=10)


def test_the_budget_is_kept(monkeypatch):
    """What is decoded at one time, counted as it happens."""
    truth = correlated(3, 6, 0.5, n=70)
    model, seen = truth.model(amortized(truth)), []
    law = model.likelihood.forward
    monkeypatch.setattr(model.likelihood, "forward", lambda z: (seen.append(z.shape[:-1].numel()), law(z))[1])
    weigh(model, Served(truth), [100], memory=100_000)
    # Half of the budget, eight tensors of the widest layer (8 numbers), eight bytes each.
    assert 0 < max(seen) <= 50_000 // (8 * 8 * 8)
    assert sum(seen) == 70 * 100


def test_an_adapter_says_what_the_model_itself_says():
    truth = correlated(3, 6, 0.5, n=70)
    model = truth.model(amortized(truth))
    adapter = Adapter(lambda x, z: model.log_joint(Batch(x))(z), lambda x: model.infer(Batch(x)))
    own, other = weigh(model, Given(truth.batch.x), [5, 50]), weigh(adapter, Given(truth.batch.x), [5, 50])
    assert torch.allclose(own.bounds, other.bounds, atol=1e-10)
    assert other.per_datum is None


class States(Distribution):
    """A discrete q whose draws are [state]; it can be drawn in no other way than by `sample`."""

    arg_constraints = {}  # noqa: RUF012  # pyright: ignore[reportAssignmentType]

    def __init__(self, q: Categorical):
        super().__init__(q.batch_shape, torch.Size([1]), validate_args=False)
        self.q = q

    def sample(self, sample_shape=torch.Size()):  # noqa: B008
        return self.q.sample(sample_shape)[..., None].double()

    def log_prob(self, value):
        return self.q.log_prob(value[..., 0].long())


def test_a_posterior_that_only_samples_is_judged_too():
    """A latent with five states: log p is a sum, q is off, and all bounds lie below, in order."""
    table = RowNoise(0, "table", range(300))(5).double()
    log_p, posterior = exact_posterior(table)

    def log_joint(x: Tensor, z: Tensor) -> Tensor:
        return table[x[:, 0].long()].expand(len(z), -1, -1).gather(-1, z.long())[..., 0]

    def tempered(by: float) -> Adapter:
        return Adapter(log_joint, lambda x: States(Categorical(logits=by * posterior.logits[x[:, 0].long()])))

    x = torch.arange(300.0)[:, None].double()
    found = weigh(tempered(0.5), Given(x), [1, 10, 1000])
    gap = log_p - found.bounds
    se = gap.std(1) / math.sqrt(300)
    assert (se < 0.03).all()
    assert (gap.mean(1) > -5 * se).all()
    assert gap[0].mean() > gap[1].mean() > gap[2].mean()
    assert abs(gap[2].mean()) < 0.005
    assert (weigh(tempered(1.0), Given(x), [3]).bounds[0] - log_p).abs().max() < 1e-12


def test_draws_that_fill_no_block_are_left_out():
    log_w = RowNoise(0, "w", range(3))(10).movedim(-1, 0).double()
    assert torch.allclose(bounds_of(log_w, [4])[0], bounds_of(log_w[:8], [4])[0])


class Short(Given):
    """Says more rows than it serves: as if a last batch that is not full were dropped."""

    def batches(self, size: int) -> Iterator[Batch]:
        for rows in self.x.split(size):
            if len(rows) == size:
                yield Batch(rows)


def test_a_source_that_drops_its_last_batch_is_refused():
    with pytest.raises(DataError, match="has 70 rows and served 64"):
        weigh(widened(1.2), Short(some_x(70)), [5])


@pytest.mark.parametrize("ks", [[], [0], [10, -1]])
def test_numbers_of_draws_that_are_none_are_refused(ks):
    with pytest.raises(ConfigError, match="at least 1"):
        weigh(widened(1.2), Given(some_x(3)), ks)


def test_progress_is_an_estimate_that_tightens():
    told = []
    found = weigh(widened(1.2), Given(some_x(300)), [5], progress=lambda *what: told.append(what))
    assert [done for done, _, _ in told] == [64, 128, 192, 256, 300]
    assert told[-1][1] == pytest.approx(float(found.bounds.mean()))
    assert told[-1][2] < told[0][2]


class Stopping:
    """Keeps what it is given, and stops the evaluation after so many rows."""

    def __init__(self, after: int):
        self.after, self.found = after, None

    def load(self):
        return self.found

    def save(self, tensors: dict[str, Tensor], done: int) -> None:
        self.found = {k: v.clone() for k, v in tensors.items()}, done
        if done >= self.after:
            self.after = 10**9
            raise KeyboardInterrupt


def test_an_interrupted_evaluation_goes_on_and_ends_with_the_same_bits():
    """Stopped after 128 of 200 rows, taken up: nothing is different, and no row is weighed twice."""
    truth = correlated(4, 9, 0.3, n=200)
    model, kept = truth.model(amortized(truth)), Stopping(128)
    whole = weigh(model, Served(truth), [1, 20], seed=3)
    with pytest.raises(KeyboardInterrupt):
        weigh(model, Served(truth), [1, 20], seed=3, kept=kept)
    told: list[int] = []
    again = weigh(model, Served(truth), [1, 20], seed=3, kept=kept, progress=lambda done, *_: told.append(done))
    assert told == [192, 200]
    for name, right in whole.tensors.items():
        assert torch.equal(again.tensors[name].nan_to_num(), right.nan_to_num()), name
