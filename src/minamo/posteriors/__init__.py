"""Posteriors q(z|x): modules whose forward returns a distribution over z for every row of a batch."""

from minamo.posteriors.amortized import Amortized as Amortized
from minamo.posteriors.base import Posterior as Posterior
from minamo.posteriors.climb import Summit as Summit
from minamo.posteriors.climb import climb as climb
from minamo.posteriors.climb import from_nothing as from_nothing
from minamo.posteriors.climb import to_the_top as to_the_top
from minamo.posteriors.exact import Exact as Exact
from minamo.posteriors.optimized import Optimized as Optimized
from minamo.posteriors.per_datum import PerDatum as PerDatum
from minamo.posteriors.semi_amortized import SemiAmortized as SemiAmortized
