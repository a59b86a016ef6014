"""Build the training schedule from settings."""

from typing import Any

from lorae.config.datasets import default_epochs
from lorae.config.settings import Settings
from lorae.training.penalty_path import PenaltyPath
from lorae.training.rank_search import RankSearch, automatic_bound
from lorae.training.schedules import FixedRank, Schedule
from lorae.training.until_stalled import UntilStalled


def schedule_of(settings: Settings, steps_per_epoch: int) -> Schedule:
    """Return the schedule of resolved settings, with its number of steps."""
    if isinstance(settings.epochs, int):
        return build_schedule(settings, steps_per_epoch * settings.epochs, steps_per_epoch)
    planned = steps_per_epoch * default_epochs(settings.data, steps_per_epoch)
    return UntilStalled(settings, steps_per_epoch, build_schedule(settings, planned, steps_per_epoch))


def build_schedule(settings: Settings, total_steps: int, steps_per_epoch: int) -> Schedule:
    """Return the schedule of resolved settings for a number of steps."""
    steps = (settings, total_steps, steps_per_epoch)
    rank, target = settings.rank, settings.target_mse
    if settings.penalty_path is not None:
        return PenaltyPath(*steps)
    if target is not None:
        return RankSearch(*steps, lambda _, __: target)
    if rank == "auto":
        return RankSearch(*steps, automatic_bound)
    if isinstance(rank, float):
        return RankSearch(*steps, lambda _, variance: (1 - rank) * variance)
    if isinstance(rank, int):
        return FixedRank(*steps, rank)
    return Schedule(*steps)


def unmet_target(settings: Settings, found: dict[str, Any] | None) -> str | None:
    """Return the message for an unmet target, or None; found: the result of the schedule."""
    if found is None:
        return None
    if settings.penalty_path is not None:
        ranks = {point["rank"] for point in found["points"]}
        if len(ranks) > 1 or len(found["points"]) == 1:
            return None
        low, high, _ = settings.penalty_path
        return f"penalty_path: got {low:g}:{high:g}, but the rank is {ranks.pop()} at every point"
    if settings.rank == "auto":  # its bound is its own, not a target of the user
        if found["mse"] < found["variance"] or found["variance"] == 0:
            return None
        return (
            f"rank: got auto, but training learned nothing: on items set aside the error is {found['mse']:.4g}, and "
            f"their variance is {found['variance']:.4g}"
        )
    if found["reached"]:
        return None
    name = "rank" if settings.target_mse is None else "target_mse"
    return (
        f"{name}: got {getattr(settings, name)}, so an error of at most {found['bound']:.4g}, but on items set aside "
        f"it is {found['mse']:.4g} at rank {found['rank']}"
    )
