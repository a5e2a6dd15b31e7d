"""Priors p(z): modules whose forward returns a distribution over z."""

from minamo.priors.base import Prior as Prior
from minamo.priors.standard_normal import StandardNormal as StandardNormal
