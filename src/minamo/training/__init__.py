"""Training: a generator that yields after every epoch, and stops by itself."""

from minamo.training.convergence import Plateau as Plateau
from minamo.training.loop import DROPS as DROPS
from minamo.training.loop import train as train
from minamo.training.state import Settings as Settings
from minamo.training.state import State as State
