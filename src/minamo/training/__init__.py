"""Training: a generator that yields after every epoch, and stops by itself."""

from minamo.training.compiled import compiled_sizes as compiled_sizes
from minamo.training.convergence import Plateau as Plateau
from minamo.training.device import check_device as check_device
from minamo.training.device import computing_on as computing_on
from minamo.training.device import device_for as device_for
from minamo.training.device import device_or_cpu as device_or_cpu
from minamo.training.engine import COMPILE as COMPILE
from minamo.training.engine import PRECISIONS as PRECISIONS
from minamo.training.engine import Engine as Engine
from minamo.training.engine import choose_engine as choose_engine
from minamo.training.judge import Judge as Judge
from minamo.training.loop import DROPS as DROPS
from minamo.training.loop import train as train
from minamo.training.processor import fast_cpu as fast_cpu
from minamo.training.schedule import SCHEDULES as SCHEDULES
from minamo.training.schedule import Schedule as Schedule
from minamo.training.state import Settings as Settings
from minamo.training.state import State as State
from minamo.training.step import Objective as Objective
