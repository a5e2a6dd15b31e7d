"""What a person looks at."""

from minamo.report.pictures import curves as curves
from minamo.report.pictures import grid as grid
from minamo.report.pictures import pairs as pairs
