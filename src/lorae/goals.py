"""From what the user asks for to how the run proceeds."""

from lorae.courses import Course, FixedRank
from lorae.penalty_path import PenaltyPath
from lorae.searches import SmallestRank, automatic_bound
from lorae.settings import Settings


def build_course(settings: Settings, total_steps: int, steps_per_epoch: int) -> Course:
    """The course that resolved settings ask for."""
    steps = (settings, total_steps, steps_per_epoch)
    rank, target = settings.rank, settings.target_mse
    if settings.penalty_path is not None:
        return PenaltyPath(*steps, settings.penalty_path)
    if target is not None:
        return SmallestRank(*steps, lambda _, __: target)
    if rank == "auto":
        return SmallestRank(*steps, automatic_bound)
    if isinstance(rank, float):
        return SmallestRank(*steps, lambda _, variance: (1 - rank) * variance)
    if isinstance(rank, int):
        return FixedRank(*steps, rank)
    return Course(*steps)
