"""Run folders with their records, and runs in memory. Only checkpoints and weights need torch."""

from lorae.runs.run import Run
from lorae.runs.store import InMemoryRun, RunStore

__all__ = ["InMemoryRun", "Run", "RunStore"]
