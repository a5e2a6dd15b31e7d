"""The exact rungs of the ladder of inference: log p(x), the posterior and the EM algorithm in closed form, float64."""

from minamo.exact.em import Bound as Bound
from minamo.exact.em import Fit as Fit
from minamo.exact.em import HalfStep as HalfStep
from minamo.exact.em import em as em
from minamo.exact.em import fit as fit
from minamo.exact.enumeration import binary_states as binary_states
from minamo.exact.enumeration import exact_posterior as exact_posterior
from minamo.exact.factor_analysis import FactorAnalysis as FactorAnalysis
from minamo.exact.factor_analysis import ProbabilisticPCA as ProbabilisticPCA
from minamo.exact.gaussian_mixture import GaussianMixture as GaussianMixture
from minamo.exact.gaussian_mixture import MixturePosterior as MixturePosterior
