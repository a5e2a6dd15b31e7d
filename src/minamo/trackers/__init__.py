"""Trackers: a run shown elsewhere, from its log."""

from minamo.trackers.base import Tracker
from minamo.trackers.mlflow import Mlflow
from minamo.trackers.tensorboard import TensorBoard

__all__ = ["Mlflow", "TensorBoard", "Tracker"]
