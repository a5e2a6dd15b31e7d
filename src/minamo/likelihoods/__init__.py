"""Likelihoods p(x|z): modules whose forward returns a normalized distribution over x."""

from minamo.likelihoods.base import Likelihood as Likelihood
from minamo.likelihoods.bernoulli import Bernoulli as Bernoulli
from minamo.likelihoods.normal import Normal as Normal
