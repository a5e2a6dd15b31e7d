"""What every prior obeys."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from minamo.batch import Batch
from minamo.distributions import GaussianMixture, detached
from minamo.likelihoods import Normal as NormalLikelihood
from minamo.model import LatentVariableModel
from minamo.nets import Mlp
from minamo.priors import Mixture, StandardNormal, Vamp
from minamo.randomness import drawing_from, stream
from tests.cases.priors import COLUMNS, PRIORS, Case, built, encoder

ids = [case.name for case in PRIORS]
mixtures = [case for case in PRIORS if case.gaussians]


@pytest.mark.parametrize("case", PRIORS, ids=ids)
def test_it_is_normalized(case: Case):
    """The integral over a square that holds all of it is 1 to 1e-8 (trapezoids in the plane, float64)."""
    law = built(case, 2)()
    with drawing_from(stream(0, "reach")), torch.no_grad():
        some = law.sample(torch.Size([4000]))
    center, reach = some.mean(0), 9 * float(some.std(0).max())
    line = torch.linspace(-reach, reach, 1001, dtype=torch.float64)
    grid = torch.cartesian_prod(center[0] + line, center[1] + line)
    with torch.no_grad():
        density = torch.cat([law.log_prob(part).exp() for part in grid.split(200_000)])
    step = float(line[1] - line[0])
    assert float(density.sum()) * step**2 == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("case", PRIORS, ids=ids)
def test_its_samples_follow_its_density(case: Case):
    """In one dimension: the distribution function, integrated from the density, makes draws uniform."""
    law = built(case, 1)() if case.name not in ("coupling",) else built(case, 2)()
    with drawing_from(stream(0, "fit", case.name)), torch.no_grad():
        z = law.sample(torch.Size([20_000]))
    d = z.shape[1]
    line = torch.linspace(float(z.min()) - 4, float(z.max()) + 4, 4001 if d == 1 else 501, dtype=torch.float64)
    grid = line[:, None] if d == 1 else torch.cartesian_prod(line, line)
    with torch.no_grad():
        density = law.log_prob(grid).exp().view(*[len(line)] * d)
    step = float(line[1] - line[0])
    for axis in range(d):
        marginal = density if d == 1 else density.sum(1 - axis) * step
        cdf = torch.cumulative_trapezoid(marginal, dx=step)
        u = torch.searchsorted(line[1:], z[:, axis].contiguous())
        # Linear in between: a step of the grid is far below the spread of the draws.
        left, share = cdf[(u - 1).clamp_min(0)], (z[:, axis] - line[u]) / step
        values = left + share * (cdf[u.clamp_max(len(cdf) - 1)] - left)
        assert stats.kstest(values.numpy(), "uniform").pvalue > 1e-5


def gaussians(law: torch.distributions.Distribution) -> list[tuple[float, Tensor, Tensor]]:
    """(weight, mean, covariance) of each part of a mixture of Gaussians."""
    if isinstance(law, GaussianMixture):
        parts = zip(law.logits.softmax(0), law.loc, law.scale, strict=True)
        return [(float(w.detach()), m, torch.diag(s**2)) for w, m, s in parts]
    if isinstance(law, MixtureSameFamily):
        q = law.component_distribution
        assert isinstance(q, MultivariateNormal)
        return [
            (float(w), m, c) for w, m, c in zip(law.mixture_distribution.probs, q.loc, q.covariance_matrix, strict=True)
        ]
    return [(1.0, law.mean, torch.diag(law.variance))]


@pytest.mark.parametrize("case", mixtures, ids=[case.name for case in mixtures])
def test_exact_marginal_under_a_linear_decoder(case: Case):
    """x = W z + b + sigma noise: p(x) is made of N(W m + b, W C W' + sigma^2 I), and the model's integral over z."""
    d, sigma = 2, 0.5
    prior = built(case, d)
    with drawing_from(stream(0, "decoder")):
        decoder = Mlp(d, COLUMNS, ()).double()
        x = torch.randn(6, COLUMNS, dtype=torch.float64)
    law, w, b = prior(), decoder.last.weight.detach(), decoder.last.bias.detach()
    likelihood = NormalLikelihood(decoder, scale=sigma).double()
    # As the likelihood holds it: sigma's logarithm was rounded to float32.
    noise = likelihood.scale.detach() ** 2 * torch.eye(COLUMNS, dtype=torch.float64)
    parts = [
        math.log(weight) + MultivariateNormal(w @ m + b, w @ c @ w.T + noise).log_prob(x)
        for weight, m, c in ((p, m.detach(), c.detach()) for p, m, c in gaussians(law))
    ]
    exact = torch.logsumexp(torch.stack(parts), 0)

    model = LatentVariableModel(prior, likelihood, encoder(d)).double()
    line = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)[:, None]
    with torch.no_grad():
        log_joint = model.log_joint(Batch(x, torch.arange(6)))
        found = torch.stack([torch.logsumexp(log_joint(part), 0) for part in grid.split(100_000)]).logsumexp(0)
    found = found + 2 * math.log(float(line[1] - line[0]))
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-8)


@pytest.mark.parametrize("case", PRIORS, ids=ids)
def test_its_density_held_constant_is_the_same_number(case: Case):
    if case.gaussians > 1:
        pytest.skip("a mixture is no posterior: nobody asks for it")
    law = built(case, 2)()
    z = torch.randn(5, 2, dtype=torch.float64, generator=stream(0, "z"))
    assert torch.equal(detached(law).log_prob(z), law.log_prob(z))


def test_a_mixture_in_one_product_is_torchs_mixture():
    """Beside MixtureSameFamily in float64, with scales from 0.001 to 10, and the gradients of all that is learned."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        logits, loc = torch.randn(20), 3 * torch.randn(20, 6)
        scale = torch.exp(torch.empty(20, 6).uniform_(math.log(1e-3), math.log(10)))
        z = loc[torch.randint(20, (4, 50))] + 0.01 * torch.randn(4, 50, 6)
    found = []
    for own, dtype in ((True, torch.float64), (False, torch.float64), (True, torch.float32)):
        given = [t.to(dtype).requires_grad_() for t in (logits, loc, scale, z)]
        if own:
            law = GaussianMixture(*given[:3])
        else:
            parts = Independent(Normal(given[1], given[2]), 1)
            law = MixtureSameFamily(Categorical(logits=given[0]), parts)
        value = law.log_prob(given[3])
        found.append([value, *torch.autograd.grad(value.sum(), given)])
    for a, b, c in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-6)
        # float32 in, float64 inside, float32 out: as good as the numbers that came in.
        torch.testing.assert_close(c.double(), b, rtol=2e-3, atol=2e-3 * float(b.abs().max()))


def test_components_are_drawn_by_weight():
    """Weights 0.7, 0.2, 0.1 far apart: 20,000 draws pass a chi-square test; equal weights would not."""
    law = GaussianMixture(
        torch.tensor([0.7, 0.2, 0.1]).log(), torch.tensor([[0.0], [100.0], [200.0]]), torch.ones(3, 1)
    )
    with drawing_from(stream(0, "components")):
        z = law.sample(torch.Size([20_000]))
    counts = [int(((z - 100 * c).abs() < 50).sum()) for c in range(3)]
    assert stats.chisquare(counts, [14_000, 4_000, 2_000]).pvalue > 1e-5
    assert float(law.mean) == pytest.approx(40.0)
    assert float(law.variance) == pytest.approx(1 + 0.7 * 40**2 + 0.2 * 60**2 + 0.1 * 160**2, rel=1e-5)


def vamp_model() -> LatentVariableModel:
    posterior = encoder(2)
    with drawing_from(stream(0, "vamp")):
        prior, decoder = Vamp(2, posterior.at, COLUMNS, 3), Mlp(2, COLUMNS, ())
    return LatentVariableModel(prior, NormalLikelihood(decoder, scale=1.0), posterior)


def test_a_vamp_prior_registers_the_posterior_once():
    model = vamp_model()
    keys = list(model.state_dict())
    assert len(keys) == len(set(keys))
    assert [k for k in keys if k.startswith("prior")] == ["prior.inputs", "prior.logits"]
    assert len(list(model.parameters())) == len({id(p) for p in model.parameters()})


def test_a_copied_vamp_prior_asks_the_copied_posterior():
    model = vamp_model()
    other = copy.deepcopy(model)
    z = torch.zeros(1, 2)
    before = other.prior().log_prob(z)
    with torch.no_grad():
        model.posterior.net.last.bias.add_(1.0)  # type: ignore[union-attr,operator]
    assert torch.equal(other.prior().log_prob(z), before)
    assert not torch.equal(model.prior().log_prob(z), before)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.prior().log_prob(z), model.prior().log_prob(z))


def test_a_vamp_prior_of_all_data_is_the_aggregated_posterior():
    """With every row a pseudo-input, p(z) = mean_n q(z|x_n), and the mean KL is the index-code mutual information."""
    posterior = encoder(2)
    x = torch.randn(40, COLUMNS, generator=stream(0, "x"))
    with drawing_from(stream(0, "vamp")):
        prior = Vamp(2, posterior.at, COLUMNS, 40)
    prior.start_from(x)
    z = torch.randn(7, 2, generator=stream(0, "z"))
    aggregated = torch.logsumexp(posterior.at(x).log_prob(z[:, None]), 1) - math.log(40)
    torch.testing.assert_close(prior().log_prob(z), aggregated, rtol=1e-5, atol=1e-5)


def test_pseudo_inputs_stay_in_the_support_and_come_back_from_its_edge():
    """Clipped to [0, 1]; at -0.3 a gradient that leads back is taken, and none that leads on."""
    with drawing_from(stream(0, "vamp")):
        prior = Vamp(1, lambda u: Independent(Normal(u, 1.0), 1), 1, 4, low=0.0, high=1.0)
    with torch.no_grad():
        prior.inputs.copy_(torch.tensor([[-0.3], [0.4], [1.2], [0.0]]))
    u = prior.pseudo_inputs()
    assert u.detach()[:, 0].tolist() == pytest.approx([0.0, 0.4, 1.0, 0.0])
    for slope, expected in ((1.0, [0.0, 1.0, 1.0, 0.0]), (-1.0, [-1.0, -1.0, 0.0, -1.0])):
        (found,) = torch.autograd.grad(prior.pseudo_inputs(), prior.inputs, torch.full((4, 1), slope))
        assert found[:, 0].tolist() == expected


def test_fewer_data_than_pseudo_inputs_are_taken_in_turn():
    prior = vamp_model().prior
    prior.start_from(torch.tensor([[1.0] * COLUMNS, [2.0] * COLUMNS]))
    assert prior.pseudo_inputs()[:, 0].tolist() == [1.0, 2.0, 1.0]  # type: ignore[operator]


def test_a_mixture_begins_near_the_standard_normal():
    """KL(N(0, I) || start) of 500 components is small, so that nothing is lost by asking for one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        law = Mixture(2, 500)()
        z = StandardNormal(2)().sample(torch.Size([4000]))
    difference = StandardNormal(2)().log_prob(z) - law.log_prob(z)
    assert 0 < float(difference.mean()) < 0.5
