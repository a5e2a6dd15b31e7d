"""Densities that torch.distributions lacks."""

from minamo.distributions.isotropic_normal import IsotropicNormal as IsotropicNormal
