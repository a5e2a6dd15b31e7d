"""Posteriors q(z|x): modules whose forward returns a distribution over z for every row of a batch."""

from minamo.posteriors.amortized import Amortized as Amortized
from minamo.posteriors.base import Posterior as Posterior
