"""What every family of posteriors obeys."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from scipy import stats
from torch.distributions import Independent, MultivariateNormal, Normal

from minamo.distributions import IsotropicNormal, closed_form_kl, detached, kl_per_latent, push
from minamo.families import Diagonal, FullCovariance, Move
from minamo.families.base import inner
from minamo.randomness import drawing_from, stream
from tests.cases.families import FAMILIES, Case, built, members

ids = [case.name for case in FAMILIES]
every = pytest.mark.parametrize("case", FAMILIES, ids=ids)


def noise(k: int, n: int, d: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(k, n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every
@pytest.mark.parametrize("latent_dim", [1, 3])
def test_the_density_is_that_of_the_noise_by_change_of_variables(case: Case, latent_dim: int):
    """log q(T(eps)) = log N(eps; 0, I) - log |det dT/deps|, the determinant from T's own Jacobian."""
    family = built(case, latent_dim)
    q = family(members(family, 4))
    eps = noise(5, 4, latent_dim)
    z, log_det = push(q, eps)
    base = Independent(Normal(torch.zeros_like(eps), 1.0), 1).log_prob(eps)
    assert torch.allclose(q.log_prob(z), base - log_det, atol=1e-8)
    for i in range(4):
        one = family(members(family, 4)[i : i + 1])
        jacobian = torch.autograd.functional.jacobian(lambda e, one=one: push(one, e)[0], eps[:1, i : i + 1])
        found = torch.linalg.slogdet(jacobian.reshape(latent_dim, latent_dim))[1]
        assert abs(float((found - log_det.expand(5, 4)[0, i]).detach())) < 1e-8


@every
def test_it_is_normalized(case: Case):
    family = built(case, 1)
    q = family(members(family, 1))
    u = torch.linspace(-12, 12, 40_001, dtype=torch.float64)[:, None, None]
    z = push(q, u)[0].detach()  # monotone in one dimension: a grid that follows the mass
    assert abs(float(torch.trapezoid(q.log_prob(z).exp()[:, 0], z[:, 0, 0]).detach().abs()) - 1) < 1e-6


@every
def test_its_samples_follow_its_density(case: Case):
    """Pulled back by the density's own map, draws are standard normal in every direction."""
    family = built(case, 3)
    q = family(members(family, 1))
    with drawing_from(stream(0, "family", case.name)):
        z = q.rsample(torch.Size([20_000]))
    if case.gaussian:
        p = MultivariateNormal(q.mean, q.covariance_matrix if case.name != "diagonal" else torch.diag_embed(q.variance))
        eps = torch.linalg.solve_triangular(p.scale_tril, (z - q.mean).mT, upper=False).mT
    else:
        eps = (q.transform.inv(z) - q.loc) / q.scale  # type: ignore[attr-defined]
    eps = eps.detach()[:, 0]
    for j in range(3):
        assert stats.kstest(eps[:, j].numpy(), "norm").pvalue > 1e-5
    assert (eps.T @ eps / len(eps) - torch.eye(3)).abs().max() < 5 * math.sqrt(2 / len(eps))


@every
def test_its_mean_is_the_mean_of_its_samples(case: Case):
    family = built(case, 3)
    q = family(members(family, 2))
    with drawing_from(stream(0, "mean", case.name)):
        z = q.rsample(torch.Size([100_000])).detach()
    # 256 draws stand behind a flow's mean, 1e5 behind the other side.
    error = z.std(0) * (math.sqrt(1 / 1e5) if case.gaussian else math.sqrt(1 / 256 + 1 / 1e5))
    assert ((z.mean(0) - q.mean.detach()).abs() < 5 * error).all()


@every
def test_a_move_is_made_in_the_space_of_the_noise(case: Case):
    """T_moved(eps) = T(shift + (1 + spread) eps) to first order."""
    family, h = built(case, 3), 1e-5
    params, eps = members(family, 4), noise(6, 4, 3)
    shift, matrix = noise(1, 4, 3, 2)[0], noise(4, 3, 3, 3)
    spread = matrix.tril() if case.name == "full-covariance" else matrix.diagonal(dim1=-2, dim2=-1)
    after = push(family(family.moved(params, Move(h * shift, h * spread))), eps)[0]
    step = shift + ((spread @ eps[..., None])[..., 0] if spread.dim() == 3 else spread * eps)
    expected = push(family(params), eps + h * step)[0]
    before = push(family(params), eps)[0]
    assert ((after - expected).abs().max() < 1e-3 * (expected - before).abs().max()).item()


@pytest.mark.parametrize("case", FAMILIES[:2], ids=ids[:2])
def test_a_direction_is_the_natural_gradient(case: Case):
    """KL(q_moved || q) = <move, move> / 2, and on a quadratic the ELBO rises along a move as <direction, move>."""
    family, h = built(case, 3), 1e-4
    params = members(family, 4)
    q = family(params)
    move = Move(noise(1, 4, 3, 2)[0], noise(4, 3, 3, 3).tril())
    if case.name == "diagonal":
        move = Move(move.shift, move.spread.diagonal(dim1=-2, dim2=-1))
    small = Move(h * move.shift, h * move.spread)
    kl = torch.distributions.kl_divergence(family(family.moved(params, small)), q)
    assert torch.allclose(kl / h**2, 0.5 * inner(move, move), rtol=1e-3)

    hessian = torch.eye(3, dtype=torch.float64) * 3 + 1

    def elbo(params):
        """E_q[-z'Hz/2] + entropy, in closed form."""
        law = family(params)
        variance = torch.diag_embed(law.variance) if case.name == "diagonal" else law.covariance_matrix
        quadratic = (hessian * variance).sum((-1, -2)) + ((law.mean @ hessian) * law.mean).sum(-1)
        return -0.5 * quadratic + law.entropy()

    eps = noise(40_000, 4, 3).requires_grad_()
    z = push(q, eps)[0]
    (gradient,) = torch.autograd.grad((-0.5 * ((z @ hessian) * z).sum(-1)).sum(), eps)
    direction = family.direction(gradient + eps.detach(), eps.detach())
    slope = (elbo(family.moved(params, small)) - elbo(params)) / h
    assert torch.allclose(inner(direction, move), slope, rtol=0.05, atol=0.1)


def test_the_diagonal_nearest_to_a_normal_is_its_best():
    """argmin KL(q || p) in closed form: no move improves it."""
    p = MultivariateNormal(noise(1, 2, 4)[0], scale_tril=torch.eye(4) + noise(2, 4, 4, 7).tril(-1))
    family = Diagonal(4)
    params = family.nearest(p).requires_grad_()
    law = family(params)
    q = MultivariateNormal(law.mean, torch.diag_embed(law.variance))
    (gradient,) = torch.autograd.grad(torch.distributions.kl_divergence(q, p).sum(), params)
    assert gradient.abs().max() < 1e-10


def test_a_full_covariance_begins_as_a_diagonal():
    params = members(Diagonal(4), 3)
    full = FullCovariance(4).double()
    q, p = full(full.from_diagonal(params)), Diagonal(4)(params)
    assert torch.equal(q.mean, p.mean)
    assert torch.allclose(q.covariance_matrix, torch.diag_embed(p.variance), atol=1e-14)  # type: ignore[attr-defined]


@every
def test_its_density_broadcasts(case: Case):
    """One z under every member, [2, 1, D] against [4]: as if it were written out four times."""
    family = built(case, 3)
    q, z = family(members(family, 4)), noise(2, 1, 3)
    assert torch.allclose(q.log_prob(z), q.log_prob(z.expand(2, 4, 3)), atol=1e-12)
    assert q.log_prob(z).shape == (2, 4)


@every
def test_held_it_is_the_same_law_without_a_gradient(case: Case):
    family = built(case, 3)
    q = family(members(family, 4).requires_grad_())
    z = push(q, noise(2, 4, 3))[0].detach()
    held = detached(q).log_prob(z)
    assert torch.equal(held, q.log_prob(z).detach())
    assert not held.requires_grad


@every
def test_kl_to_the_prior_equals_its_monte_carlo(case: Case):
    family = built(case, 3)
    q = family(members(family, 4))
    p = Independent(Normal(torch.zeros(3, dtype=torch.float64), torch.full((3,), 1.3, dtype=torch.float64)), 1)
    closed = closed_form_kl(q, p)
    assert (closed is None) == (not case.gaussian)
    if closed is None:
        return
    z = push(q, noise(100_000, 4, 3))[0]
    terms = (q.log_prob(z) - p.log_prob(z)).detach()
    assert ((terms.mean(0) - closed).abs() < 5 * terms.std(0) / math.sqrt(len(terms))).all()


def test_the_parts_of_a_kl():
    """Independent latents: the parts add up. Correlated ones: they fall short by the total correlation of q."""
    p = Independent(Normal(torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)), 1)
    for case in FAMILIES[:2]:
        family = built(case, 3)
        q = family(members(family, 4))
        parts, whole = kl_per_latent(q, p), closed_form_kl(q, p)
        assert parts is not None
        assert whole is not None
        total_correlation = 0.5 * q.variance.log().sum(-1)
        if case.name == "diagonal":
            total_correlation = total_correlation - q.stddev.log().sum(-1)
        else:
            total_correlation = total_correlation - 0.5 * torch.logdet(q.covariance_matrix)  # type: ignore[attr-defined]
        assert torch.allclose(parts.sum(-1) + total_correlation, whole, atol=1e-10)
    assert kl_per_latent(IsotropicNormal(torch.zeros(1, 3), torch.ones(())), p) is None


def test_zuko_leaves_the_switches_of_torch_alone():
    """zuko turns torch's argument checks off when it is imported; whoever uses a flow still has them."""
    code = (
        "from torch.distributions import Distribution, Normal; before = Distribution._validate_args\n"
        "from minamo.families import Flow; Flow(3)\n"
        "assert Distribution._validate_args is before is True\n"
        "try: Normal(0.0, -1.0)\nexcept ValueError: pass\nelse: raise SystemExit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
