"""Sweeps: many settings trained on one data set, in many processes, with a page of rank, error and distance."""

from lorae.sweeps.options import SweepOptions
from lorae.sweeps.run import Sweep, sweep, write_report

__all__ = ["Sweep", "SweepOptions", "sweep", "write_report"]
