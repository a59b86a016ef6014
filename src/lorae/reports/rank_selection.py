"""The choice of a run's rank, for tables and figures. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """The ranks that a run tried, or the points of its penalty path: `label`, `rank` and `mse`, on held-out items.

    `chosen` is the label of the point that is the model of the run, `bound` the largest error allowed, None on a path.
    """

    points: list[dict[str, Any]]
    chosen: str
    bound: float | None

    @property
    def is_path(self) -> bool:
        """Whether the points are those of a penalty path; otherwise they are ranks that were tried."""
        return self.bound is None

    @property
    def header(self) -> list[str]:
        """Titles of the columns of `rows`."""
        return ["penalty", "rank", "error"] if self.is_path else ["rank", "error"]

    @property
    def rows(self) -> list[list[str]]:
        """Cells of a row for each point, with a star at the chosen one."""
        stars = {point["label"]: " *" if point["label"] == self.chosen else "" for point in self.points}
        table = [[p["label"], str(p["rank"]), f"{p['mse']:.4g}{stars[p['label']]}"] for p in self.points]
        return table if self.is_path else [cells[1:] for cells in table]

    @property
    def sentence(self) -> str:
        """Explanation of the table and its star."""
        if self.is_path:
            return (
                "Penalties from small to large, each started from the model of the one before. The star marks the "
                "knee, where a smaller rank begins to cost much more error: it is the model of the run."
            )
        tried = f"Ranks were tried by bisection; an error of at most {self.bound:.4g} was allowed."
        if any(point["label"] == self.chosen and point["mse"] <= (self.bound or 0) for point in self.points):
            return f"{tried} The star marks the smallest that kept it."
        return f"{tried} None kept it."


def read_choice(schedule: Mapping[str, Any] | None) -> Choice | None:
    """Return the choice in the entry `schedule` of an `evaluation.json`; None if no rank was chosen."""
    if not schedule:
        return None
    if "points" in schedule:
        names = {point["point"]: f"{point['penalty']:.3g}" for point in schedule["points"]}
        points = [{"label": names[p["point"]], "rank": p["rank"], "mse": p["mse"]} for p in schedule["points"]]
        return Choice(points, names[schedule["knee"]], None)
    points = [{"label": str(p["rank"]), "rank": p["rank"], "mse": p["mse"]} for p in schedule["tried"]]
    return Choice(points, str(schedule["rank"]), schedule["bound"]) if points else None
