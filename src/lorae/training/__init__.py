"""The training loop and the schedules that control it."""

from lorae.training.builders import build, build_model, build_objective
from lorae.training.trainer import Trainer

__all__ = ["Trainer", "build", "build_model", "build_objective"]
