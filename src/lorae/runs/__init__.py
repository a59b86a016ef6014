"""Run folders with their records, and runs in memory. Only checkpoints and weights need torch."""

from lorae.runs.in_memory import InMemoryRun
from lorae.runs.run import Run
from lorae.runs.store import RunStore

__all__ = ["InMemoryRun", "Run", "RunStore"]
