"""The loss of a method: reconstruction, terms of the bottleneck, penalties, and adversaries."""

from lorae.objectives.adversarial import build_adversarial_objective
from lorae.objectives.objective import LossOutput, Objective, OptimizerTarget

__all__ = ["LossOutput", "Objective", "OptimizerTarget", "build_adversarial_objective"]
