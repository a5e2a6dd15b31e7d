"""What every way of choosing q obeys, on a model whose posterior is known and correlated."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from minamo.batch import Batch
from minamo.families import Diagonal, Flow, FullCovariance
from minamo.nets import Mlp
from minamo.objectives import sticking_the_landing
from minamo.posteriors import Amortized, Exact, Optimized, PerDatum, Posterior, SemiAmortized
from minamo.posteriors.climb import LEFT, antithetic, climb, orthogonal, promise
from minamo.randomness import drawing_from, stream
from tests.oracle.correlated import Correlated, correlated, covariance, kl_to

HARD = [(1, 3, 1.0), (4, 9, 0.3), (4, 9, 0.01), (16, 40, 0.1), (32, 100, 0.1)]
"""(latents, columns, sigma): from a wide posterior to one hundreds of times narrower than the prior."""


def encoder(truth: Correlated, family) -> Mlp:
    """A net that has learned nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Mlp(truth.w.shape[0], family.n_params, hidden=(8,)).double()


def gap(truth: Correlated, posterior: Posterior) -> Tensor:
    """log p - ELBO for every row, [B]."""
    q = truth.model(posterior).infer(truth.batch)
    return kl_to(truth, q.mean, covariance(q)).detach()


@pytest.mark.parametrize(("latent_dim", "n_columns", "sigma"), HARD)
def test_the_exact_posterior_is_the_posterior(latent_dim, n_columns, sigma):
    """Every draw's weight is p(x), and the KL to the closed form is 0."""
    truth = correlated(latent_dim, n_columns, sigma)
    model = truth.model(Exact(latent_dim))
    with drawing_from(stream(0, "exact")):
        draw = model.draw(truth.batch, 20)
    assert (draw.log_w - truth.log_p).abs().max().detach() < 1e-7
    assert gap(truth, Exact(latent_dim)).abs().max() < 1e-7


def test_training_with_the_exact_posterior_climbs_log_p():
    """The gradient is that of log p(x) itself (Fisher's identity): EM's M-step, taken as a gradient step."""
    truth = correlated(3, 6, 0.5, n=5)
    model = truth.model(Exact(3))
    decoder: nn.Linear = model.likelihood.net.last  # type: ignore[union-attr,assignment]
    with torch.no_grad():
        decoder.weight += 0.3
    with drawing_from(stream(0, "fisher")):
        bound = sticking_the_landing(model.draw(truth.batch, 100_000))
    (found,) = torch.autograd.grad(bound.sum(), decoder.weight)
    w = decoder.weight.detach().requires_grad_()
    eye = 0.5**2 * torch.eye(6, dtype=torch.float64)
    p_x = torch.distributions.MultivariateNormal(torch.zeros(6, dtype=torch.float64), w @ w.T + eye)
    (right,) = torch.autograd.grad(p_x.log_prob(truth.batch.x).sum(), w)
    assert torch.allclose(found, right, atol=0.02 * float(right.abs().max()))


@pytest.mark.parametrize(("latent_dim", "n_columns", "sigma"), HARD)
def test_followed_to_its_end_the_gradient_finds_the_best_member(latent_dim, n_columns, sigma):
    """From nothing, within the 0.02 nats that were asked for; the best diagonal is known in closed form."""
    truth = correlated(latent_dim, n_columns, sigma)
    for family, best in ((Diagonal(latent_dim), truth.mean_field_gap), (FullCovariance(latent_dim), 0.0)):
        posterior = Optimized(family)
        short = gap(truth, posterior) - best
        assert short.min() > -1e-8
        assert short.max() < 1.5 * LEFT
        assert posterior.steps is not None
        assert (posterior.steps > 0).all()


def test_the_gradient_promises_what_is_left():
    """Half the squared natural gradient against the KL that is really left, for q a little off."""
    truth = correlated(4, 9, 0.3)
    family = FullCovariance(4)
    model = truth.model(Exact(4))
    top = model.infer(truth.batch)
    generator = torch.Generator().manual_seed(0)
    exact_params = torch.cat(
        [
            top.mean,
            2 * top.scale_tril.diagonal(dim1=-2, dim2=-1).log(),  # type: ignore[attr-defined]
            (top.scale_tril / top.scale_tril.diagonal(dim1=-2, dim2=-1)[..., None])[..., *torch.tril_indices(4, 4, -1)],  # type: ignore[attr-defined]
        ],
        -1,
    )
    off = exact_params + 0.05 * torch.randn(exact_params.shape, generator=generator, dtype=torch.float64)
    off[:, :4] = (
        exact_params[:, :4]
        + (
            top.scale_tril @ (0.3 * torch.randn(40, 4, 1, generator=generator, dtype=torch.float64))  # type: ignore[attr-defined]
        )[..., 0]
    )
    left = kl_to(truth, family(off).mean, covariance(family(off)))
    found = [
        promise(family, off, model.log_joint(truth.batch), orthogonal(4, torch.float64, stream(i, "p")))
        for i in range(20)
    ]
    assert left.mean() > 0.1
    assert torch.stack(found).mean() == pytest.approx(float(left.mean()), rel=0.1)


def test_more_steps_are_never_worse():
    """0 <= 1 <= 2 <= 5 <= 20 gradient steps after an encoder that knows nothing; then the best member."""
    truth = correlated(4, 9, 0.3)
    family = Diagonal(4)
    net = encoder(truth, family)
    rungs: list[Posterior] = [Amortized(net, family)]
    rungs += [SemiAmortized(net, family, n_steps=n) for n in (1, 2, 5, 20)]
    rungs.append(Optimized(family, Amortized(net, family).params))
    gaps = [float(gap(truth, rung).mean()) for rung in rungs]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] == pytest.approx(truth.mean_field_gap, abs=2 * LEFT)


def test_an_encoder_learns_through_the_steps():
    """The encoder's gradient is the ELBO's at the improved parameters: with no steps, exactly that of Amortized."""
    truth = correlated(4, 9, 0.3)
    family = Diagonal(4)
    net = encoder(truth, family)

    def gradient(posterior: Posterior) -> Tensor:
        model = truth.model(posterior)
        with drawing_from(stream(0, "learn")):
            bound = sticking_the_landing(model.draw(truth.batch))
        return torch.autograd.grad(bound.mean(), net.last.weight)[0]

    assert torch.equal(gradient(SemiAmortized(net, family, n_steps=0)), gradient(Amortized(net, family)))
    assert gradient(SemiAmortized(net, family, n_steps=3)).abs().max() > 0


@pytest.mark.parametrize("family", [Diagonal(4), FullCovariance(4), Flow(4)], ids=["diagonal", "full", "flow"])
def test_a_row_is_judged_alone(family):
    """q of a row does not depend on the rows beside it, nor on their order, nor on what was asked before."""
    truth = correlated(4, 9, 0.3)
    family = copy.deepcopy(family).double()
    posteriors = [SemiAmortized(encoder(truth, family), family), Optimized(family), PerDatum(40, family)]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    for posterior in posteriors:
        model = truth.model(posterior)
        with torch.no_grad():
            whole = model.infer(Batch(truth.batch.x)).mean
            assert torch.allclose(model.infer(Batch(truth.batch.x[order])).mean, whole[order], atol=1e-9)
            assert torch.allclose(model.infer(Batch(truth.batch.x[7:8])).mean, whole[7:8], atol=1e-9)


# -- the table ----------------------------------------------------------------------------------------------------


def visited(truth: Correlated, epochs: int = 60, size: int = 8) -> PerDatum:
    """A table after some epochs of shuffled batches, the decoder held fixed."""
    posterior = PerDatum(len(truth.batch.x), Diagonal(truth.w.shape[1])).double()
    model = truth.model(posterior).train()
    with drawing_from(stream(0, "visits")):
        for _ in range(epochs):
            for rows in torch.randperm(len(truth.batch.x)).split(size):
                model.infer(Batch(truth.batch.x[rows], rows))
    model.eval()
    return posterior


def shortfall(truth: Correlated, posterior: PerDatum) -> float:
    """Nats by which the stored q of a row falls short of the best diagonal q of that row, on average."""
    return float((gap(truth, posterior) - truth.mean_field_gap).mean())


def test_the_table_holds_the_best_q_of_each_row():
    """After shuffled visits each row has come to its own optimum, up to the noise of the last steps."""
    truth = correlated()
    posterior = visited(truth)
    assert posterior.visited.all()
    assert shortfall(truth, posterior) < 0.2
    model = truth.model(posterior)
    model.infer(truth.batch)
    assert posterior.steps is not None
    assert (posterior.steps == 0).all()


def test_only_the_rows_of_the_batch_move():
    truth = correlated()
    posterior = PerDatum(40, Diagonal(4)).double()
    model = truth.model(posterior).train()
    rows = torch.tensor([30, 2, 17])
    before = posterior.table.clone()
    with drawing_from(stream(0, "visits")):
        model.infer(Batch(truth.batch.x[rows], rows))
    moved = (posterior.table != before).any(1)
    assert moved.nonzero()[:, 0].tolist() == [2, 17, 30]
    assert torch.equal(posterior.visited, moved)


def test_rows_that_were_never_seen_are_optimized_and_say_so():
    """Numbered or not, a row that was not trained on is followed to its end; the table stays as it is."""
    truth = correlated()
    posterior = visited(truth)
    posterior.visited[5:10] = False
    before = posterior.table.clone()
    model = truth.model(posterior)
    mixed = model.infer(truth.batch)
    assert posterior.steps is not None
    assert posterior.steps.bool().tolist() == [5 <= i < 10 for i in range(40)]
    assert torch.equal(mixed.mean[:5], before[:5, :4])
    short = kl_to(truth, mixed.mean, covariance(mixed))[5:10] - truth.mean_field_gap
    assert short.max() < 1.5 * LEFT
    assert torch.equal(posterior.table, before)


def _never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "index_copy_", lambda self, *a: self)


def _written_to_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Tensor.index_copy_
    monkeypatch.setattr(Tensor, "index_copy_", lambda self, dim, index, rows: right(self, dim, index.roll(1), rows))


def _read_at_the_place_in_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a batch numbered its rows from 0."""
    right = PerDatum.forward

    def wrong(self, batch, log_joint):
        return right(self, batch._replace(index=torch.arange(len(batch.x))), log_joint)

    monkeypatch.setattr(PerDatum, "forward", wrong)


@pytest.mark.parametrize(
    "bug",
    [_never_written, _written_to_other_rows, _read_at_the_place_in_the_batch],
    ids=["stale rows: never written", "stale rows: written to others", "stale rows: read by place"],
)
def test_stale_rows_in_the_table_are_caught(monkeypatch, bug):
    truth = correlated()
    bug(monkeypatch)
    posterior = visited(truth)
    monkeypatch.undo()
    posterior.visited.fill_(True)
    assert shortfall(truth, posterior) > 2


def _visit_half(model, x: Tensor, rows: Tensor, seed: int) -> None:
    torch.set_num_threads(1)
    with drawing_from(stream(seed, "process")):
        for _ in range(30):
            for some in rows.split(10):
                model.infer(Batch(x[some], some))


def test_several_processes_fill_one_table():
    """Rows are written in place: in shared memory two processes, each with half of the rows, leave one whole table."""
    truth = correlated()
    posterior = PerDatum(40, Diagonal(4)).double()
    model = truth.model(posterior).train()
    model.share_memory()
    halves = torch.arange(40).reshape(2, 20)
    context = torch.multiprocessing.get_context("spawn")
    work = [context.Process(target=_visit_half, args=(model, truth.batch.x, half, i)) for i, half in enumerate(halves)]
    for process in work:
        process.start()
    for process in work:
        process.join()
        assert process.exitcode == 0
    assert posterior.visited.all()
    assert shortfall(truth, posterior) < 0.3


def test_noise_in_pairs_and_in_bases_is_standard_normal():
    generator = stream(0, "noise")
    pairs = antithetic(2000, 3, 4, torch.zeros((), dtype=torch.float64), generator)
    bases = torch.cat([torch.cat(orthogonal(5, torch.float64, generator)) for _ in range(300)])
    for eps in (pairs.reshape(-1, 4), bases.reshape(-1, 5)):
        n = len(eps)
        assert eps.mean(0).abs().max() < 1e-12
        assert (eps.T @ eps / n - torch.eye(eps.shape[1])).abs().max() < 5 * math.sqrt(4 / n)
        assert ((eps**4).mean(0) - 3).abs().max() < 5 * math.sqrt(2 * 96 / n)


def test_steps_of_no_size_change_nothing():
    truth = correlated()
    family = FullCovariance(4)
    start = family.origin().double().expand(40, -1)
    log_joint = truth.model(Exact(4)).log_joint(truth.batch)
    eps = [antithetic(4, 1, 4, torch.zeros((), dtype=torch.float64), stream(0, "zero"))]
    assert torch.allclose(climb(family, start, log_joint, [0.0], eps), start, atol=1e-12)
