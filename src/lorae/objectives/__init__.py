"""The loss of a method: reconstruction, terms of the bottleneck, penalties, and adversaries."""

from lorae.objectives.adversarial import build_game
from lorae.objectives.objective import Objective, Outcome, Player

__all__ = ["Objective", "Outcome", "Player", "build_game"]
