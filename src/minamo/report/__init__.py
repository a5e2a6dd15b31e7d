"""What a person looks at: pictures, and one page that says all of a run."""

from minamo.report.opened import Opened as Opened
from minamo.report.opened import Served as Served
from minamo.report.opened import open_run as open_run
from minamo.report.page import render as render
from minamo.report.page import render_side_by_side as render_side_by_side
from minamo.report.pictures import curves as curves
from minamo.report.pictures import grid as grid
from minamo.report.pictures import pairs as pairs
from minamo.report.summary import of_model as of_model
from minamo.report.summary import summarize as summarize
from minamo.report.summary import summarize_run as summarize_run
from minamo.report.values import column_names as column_names
from minamo.report.values import intensities as intensities
from minamo.report.values import is_picture as is_picture
from minamo.report.versus import differences as differences
