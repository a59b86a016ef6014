"""Run folders: config, statistics, checkpoints, weights and results. Imports no torch."""

from lorae.runs.run import Run

__all__ = ["Run"]
