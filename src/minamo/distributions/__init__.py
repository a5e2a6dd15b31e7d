"""Densities that torch.distributions lacks, and what is done to a density."""

from minamo.distributions.beta_binomial import BetaBinomial as BetaBinomial
from minamo.distributions.continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from minamo.distributions.detached import detached as detached
from minamo.distributions.discretized_logistic import DiscretizedLogistic as DiscretizedLogistic
from minamo.distributions.divergence import closed_form_kl as closed_form_kl
from minamo.distributions.divergence import kl_per_latent as kl_per_latent
from minamo.distributions.flowed_normal import FlowedNormal as FlowedNormal
from minamo.distributions.gaussian_mixture import GaussianMixture as GaussianMixture
from minamo.distributions.independent_bernoulli import IndependentBernoulli as IndependentBernoulli
from minamo.distributions.isotropic_normal import IsotropicNormal as IsotropicNormal
from minamo.distributions.push import push as push
from minamo.distributions.zero_inflated import ZeroInflated as ZeroInflated
