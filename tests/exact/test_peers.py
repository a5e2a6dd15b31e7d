"""scikit-learn and torch know the same models."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as PeerFactorAnalysis
from sklearn.mixture import GaussianMixture as PeerMixture
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from minamo.exact import FactorAnalysis, GaussianMixture, ProbabilisticPCA, fit
from tests.exact import laws


def test_mixture_takes_the_same_steps_as_scikit_learns():
    x = laws.rows(400, 4)
    start = GaussianMixture.start(x, 3)
    model = fit(start, x, steps=25, tol=0).model
    peer = PeerMixture(
        3,
        weights_init=start.weights.numpy(),
        means_init=start.means.numpy(),
        precisions_init=start.precisions.numpy(),
        reg_covar=0,
        tol=0,
        max_iter=25,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        peer.fit(x.numpy())
    assert np.abs(peer.weights_ - model.weights.numpy()).max() < 1e-6
    assert np.abs(peer.means_ - model.means.numpy()).max() < 1e-6
    assert np.abs(peer.covariances_ - model.covariances.numpy()).max() < 1e-6
    assert np.abs(peer.score_samples(x.numpy()) - model.log_prob(x).numpy()).max() < 1e-6
    assert np.abs(peer.predict_proba(x.numpy()) - model.posterior(x).component.probs.numpy()).max() < 1e-6


def test_mixture_has_torchs_density():
    x = laws.rows()
    model = fit(laws.start("mixture", x), x, steps=5).model
    parts = MultivariateNormal(model.means, model.covariances)
    peer = MixtureSameFamily(Categorical(model.weights), parts)
    assert (model.log_prob(x) - peer.log_prob(x)).abs().max() < 1e-10


def test_factor_analysis_reaches_scikit_learns_optimum():
    truth = FactorAnalysis.start(laws.rows(d=8), 2, seed=3)
    x = truth.sample(500)[0]
    model, trace = fit(FactorAnalysis.start(x, 2), x, steps=1000, tol=1e-12)
    peer = PeerFactorAnalysis(2, svd_method="lapack", tol=1e-10, max_iter=5000).fit(x.numpy())
    assert abs(trace[-1].after.log_p - peer.score(x.numpy())) < 1e-6
    assert np.abs(model.var.numpy() / peer.noise_variance_ - 1).max() < 1e-3
    same = FactorAnalysis(*(torch.tensor(a) for a in (peer.components_.T, peer.mean_, peer.noise_variance_)))
    assert np.abs(same.log_prob(x).numpy() - peer.score_samples(x.numpy())).max() < 1e-10
    assert np.abs(same.posterior(x).mean.numpy() - peer.transform(x.numpy())).max() < 1e-10


def test_closed_form_is_scikit_learns_pca_up_to_its_divisor():
    """scikit-learn divides by N - 1, the likelihood by N."""
    x = laws.rows()
    model, peer = ProbabilisticPCA.closed_form(x, 2), PCA(2).fit(x.numpy())
    ratio = len(x) / (len(x) - 1)
    assert np.abs(model.covariance.numpy() * ratio - peer.get_covariance()).max() < 1e-10
    scaled = ProbabilisticPCA(model.w * ratio**0.5, model.mean, model.var * ratio)
    assert np.abs(scaled.log_prob(x).numpy() - peer.score_samples(x.numpy())).max() < 1e-10
    assert (model.log_prob(x) - MultivariateNormal(model.mean, model.covariance).log_prob(x)).abs().max() < 1e-10
    assert model.log_prob(x).mean() > scaled.log_prob(x).mean()
    assert torch.allclose(model.mean, torch.tensor(peer.mean_))
