"""Families Q of posteriors: modules that turn a vector of parameters into a distribution over z."""

from minamo.families.base import Family as Family
from minamo.families.base import Move as Move
from minamo.families.diagonal import Diagonal as Diagonal
from minamo.families.flow import Flow as Flow
from minamo.families.full_covariance import FullCovariance as FullCovariance
