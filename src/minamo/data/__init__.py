"""Data: from a file, a folder or a name to resident rows in model units."""

from minamo.data.dataset import Dataset as Dataset
from minamo.data.dataset import as_dataset as as_dataset
from minamo.data.facts import Facts as Facts
from minamo.data.facts import gather as gather
from minamo.data.facts import refuse_outside as refuse_outside
from minamo.data.prepare import Prepare as Prepare
from minamo.data.rows import Rows as Rows
from minamo.data.source import load as load
