"""Densities that torch.distributions lacks, and what is done to a density."""

from minamo.distributions.detached import detached as detached
from minamo.distributions.divergence import closed_form_kl as closed_form_kl
from minamo.distributions.divergence import kl_per_latent as kl_per_latent
from minamo.distributions.flowed_normal import FlowedNormal as FlowedNormal
from minamo.distributions.independent_bernoulli import IndependentBernoulli as IndependentBernoulli
from minamo.distributions.isotropic_normal import IsotropicNormal as IsotropicNormal
from minamo.distributions.push import push as push
