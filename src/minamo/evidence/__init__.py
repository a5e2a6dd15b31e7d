"""Measures of a fitted model: numbers with a standard error and a unit."""

from minamo.evidence.bounds import PerDatum as PerDatum
from minamo.evidence.bounds import chunks as chunks
from minamo.evidence.bounds import evaluate as evaluate
from minamo.evidence.bounds import rows_at_once as rows_at_once
from minamo.evidence.collapse import INFORMATION_ROWS as INFORMATION_ROWS
from minamo.evidence.collapse import Forecast as Forecast
from minamo.evidence.collapse import active_units as active_units
from minamo.evidence.collapse import forecast as forecast
from minamo.evidence.collapse import mutual_information as mutual_information
from minamo.evidence.ladder import Gaps as Gaps
from minamo.evidence.ladder import gaps as gaps
from minamo.evidence.measures import Evidence as Evidence
from minamo.evidence.measures import Measure as Measure
from minamo.evidence.measures import summarize as summarize
