"""How a run came to its rank, as `evaluation.json` has it, in the shape that tables and figures take. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """What was tried on the way to a rank.

    points: mappings with `label`, `rank` and `mse`, which is of items set aside, in the order of training. chosen: the
    label of the one that the run's model is. bound: the largest error that was allowed; None on a path.
    """

    points: list[dict[str, Any]]
    chosen: str
    bound: float | None

    @property
    def is_path(self) -> bool:
        """Whether a penalty was raised; otherwise ranks were tried."""
        return self.bound is None

    @property
    def header(self) -> list[str]:
        """The columns of `rows`."""
        return ["penalty", "rank", "error"] if self.is_path else ["rank", "error"]

    @property
    def rows(self) -> list[list[str]]:
        """A row of text for each point, with a star at the chosen one."""
        table = []
        for point in self.points:
            star = " *" if point["label"] == self.chosen else ""
            cells = [str(point["rank"]), f"{point['mse']:.4g}{star}"]
            table.append([point["label"], *cells] if self.is_path else cells)
        return table

    @property
    def sentence(self) -> str:
        """What was tried, and what the star means."""
        if self.is_path:
            return (
                "Penalties from small to large, each started from the model of the one before. The star marks the "
                "knee, where a smaller rank begins to cost much more error: it is the model of the run."
            )
        tried = f"Ranks were tried by bisection; an error of at most {self.bound:.4g} was allowed."
        if any(point["label"] == self.chosen and point["mse"] <= (self.bound or 0) for point in self.points):
            return f"{tried} The star marks the smallest that kept it."
        return f"{tried} None kept it."


def read_choice(course: Mapping[str, Any] | None) -> Choice | None:
    """The entry `course` of an `evaluation.json`; None where there is none, or nothing was tried."""
    if not course:
        return None
    if "points" in course:
        names = {point["point"]: f"{point['penalty']:.3g}" for point in course["points"]}
        points = [{"label": names[p["point"]], "rank": p["rank"], "mse": p["mse"]} for p in course["points"]]
        return Choice(points, names[course["knee"]], None)
    points = [{"label": str(p["rank"]), "rank": p["rank"], "mse": p["mse"]} for p in course["tried"]]
    return Choice(points, str(course["rank"]), course["bound"]) if points else None
