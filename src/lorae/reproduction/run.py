"""Reproduce the studies of the package: the paper's tables, figures and theorems, and the known dimensions."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorae.reproduction.jobs.store import State

TABLES = (*(f"table{number}" for number in range(1, 7)), "table6-authors", "table7", "table8")
STUDIES = (*TABLES, "figure2", "figure3", "theorem1", "theorem2", "proposition1", "all", "dimension")
PRESETS = ("smoke", "quick", "paper")
PROTOCOLS = ("paper", "authors_code")


def reproduce(
    study: str,
    *,
    preset: str = "quick",
    seeds: int | None = None,
    protocol: str = "paper",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    draw_only: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Run the jobs of a study that have no record yet, write their records, and draw its pages.

    An interrupted study is continued by the same call. Studies share the models in their folder, and several calls, on
    several machines that see the folder, share the work.

    Parameters
    ----------
    study : str
        A table, figure or theorem of the paper; `table6-authors`, which is table 6 as the authors' code measures it;
        `all` of these; or `dimension`, which compares estimated with known dimensions of synthetic data.
    preset : {"smoke", "quick", "paper"}, default="quick"
        `smoke` takes a minute or two, `quick` an evening on 2 cores, `paper` has the paper's settings.
    seeds : int, default=None
        Number of seeds, from 0 on; None takes that of the preset.
    protocol : {"paper", "authors_code"}, default="paper"
        Follow the paper's text, or the authors' code wherever the two differ.
    data_root : str or Path, default=None
        Folder with CelebA's files; without it the studies are of MNIST alone.
    out : str or Path, default=None
        Folder of the study; None takes `runs/paper-PRESET` or `runs/dimension-PRESET`.
    workers : int, default=None
        Number of processes, each with one thread; None takes the number of cores, on a GPU at most 4.
    draw_only : bool, default=False
        Whether to draw from the existing records without measuring.
    quiet : bool, default=False
        Whether to hide the progress bar.

    Returns
    -------
    dict
        `cells` is the number of records and `records` their path. The paper's studies add the paths of their `pages`
        and the `claims` with the numbers that decide them; `dimension` adds the paths of `table` and `figure`, and
        `within_one`, each method's share of estimates at most one away from the dimension.

    Raises
    ------
    LoraeError
        For an invalid argument, missing data, and `draw_only` without a record of the study.

    Examples
    --------
    >>> reproduce("table3", preset="smoke", out="runs/smoke")["pages"]   # doctest: +SKIP
    """
    from lorae.reproduction.runner import select

    selected = select(study, preset, seeds, protocol, data_root, out, workers=workers, draw_only=draw_only)
    if not draw_only:
        selected.run_missing_jobs(quiet)
    return selected.draw()


def status(
    study: str,
    *,
    preset: str = "quick",
    seeds: int | None = None,
    protocol: str = "paper",
    data_root: str | Path | None = None,
    out: str | Path | None = None,
) -> "State":
    """Return the progress of a study in its folder; the parameters are those of `reproduce`."""
    from lorae.reproduction.runner import select

    return select(study, preset, seeds, protocol, data_root, out).progress()
