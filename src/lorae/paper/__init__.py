"""Benchmarks that can be reproduced: each a plan of cells, the records of all of them, a table and a plot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lorae import rules

STUDIES = ("dimension",)
PRESETS = ("smoke", "quick", "paper")


def reproduce(
    study: str,
    *,
    preset: str = "quick",
    seeds: int | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    draw_only: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Run a study, or what of it is missing in its folder, and write its records, table and plot.

    study: `dimension`, the estimated against the known dimension of synthetic data. preset: `smoke` (a minute), `quick`
    (three quarters of an hour on 2 cores) or `paper` (a night). seeds: how many; by the preset. out: the folder, by
    default `runs/STUDY-PRESET`; the same call goes on where an interrupted one stopped, and several share the work.
    workers: processes of one thread each; as many as there are cores by default. draw_only: draw from the records that
    are there, and measure nothing.

    Returns the number of `cells`, the paths of `records`, `table` and `figure`, and a summary. Raises LoraeError for a
    value outside these, and where `draw_only` finds no records.

    >>> reproduce("dimension", preset="smoke", out="runs/smoke")["cells"]   # doctest: +SKIP
    20
    """
    from lorae.paper import dimension

    chosen = {
        "study": (rules.choice(*STUDIES), study),
        "preset": (rules.choice(*PRESETS), preset),
        "seeds": (rules.optional(rules.whole(1)), seeds),
        "workers": (rules.optional(rules.whole(1)), workers),
    }
    values = {name: rule.check(name, value, f"argument {name}") for name, (rule, value) in chosen.items()}
    folder = Path("runs") / f"{study}-{preset}" if out is None else Path(out)
    run: Callable[..., dict[str, Any]] = {"dimension": dimension.reproduce}[values.pop("study")]
    return run(folder, **values, draw_only=draw_only, quiet=quiet)
