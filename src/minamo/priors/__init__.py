"""Priors p(z): modules whose forward returns a distribution over z."""

from minamo.priors.base import Prior as Prior
from minamo.priors.flow import Autoregressive as Autoregressive
from minamo.priors.flow import Coupling as Coupling
from minamo.priors.mixture import Mixture as Mixture
from minamo.priors.standard_normal import StandardNormal as StandardNormal
from minamo.priors.vamp import Vamp as Vamp
