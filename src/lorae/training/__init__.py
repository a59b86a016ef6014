"""The training loop and the schedules that steer it."""

from lorae.training.builders import build_model, build_objective
from lorae.training.trainer import Trainer

__all__ = ["Trainer", "build_model", "build_objective"]
