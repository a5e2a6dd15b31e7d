"""Likelihoods p(x|z): modules whose forward returns a normalized distribution over x."""

from minamo.likelihoods.base import Likelihood as Likelihood
from minamo.likelihoods.bernoulli import Bernoulli as Bernoulli
from minamo.likelihoods.beta_binomial import BetaBinomial as BetaBinomial
from minamo.likelihoods.binomial import Binomial as Binomial
from minamo.likelihoods.categorical import Categorical as Categorical
from minamo.likelihoods.continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from minamo.likelihoods.counts import NegativeBinomial as NegativeBinomial
from minamo.likelihoods.counts import Poisson as Poisson
from minamo.likelihoods.counts import ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial
from minamo.likelihoods.counts import ZeroInflatedPoisson as ZeroInflatedPoisson
from minamo.likelihoods.laplace import Laplace as Laplace
from minamo.likelihoods.logistic import Logistic as Logistic
from minamo.likelihoods.normal import Normal as Normal
from minamo.likelihoods.normal_by_feature import HeteroscedasticNormal as HeteroscedasticNormal
from minamo.likelihoods.normal_by_feature import NormalByFeature as NormalByFeature
from minamo.likelihoods.student_t import StudentT as StudentT
