"""What the page of a table, a figure or a theorem is made of, before it is Markdown or HTML."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Text:
    """A paragraph of plain words; `code` in backquotes, nothing else is marked up."""

    words: str


@dataclass(frozen=True)
class Grid:
    """A table. caption: what it shows; header: a cell for each column; rows: as many cells each, plain words."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A PNG in the study's folder. path: relative to that folder; caption: what one sees."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures beside each other. shown: a label and a path relative to the study's folder, each."""

    caption: str
    shown: tuple[tuple[str, Path], ...]


# What is said of a claim by whether it holds.
OUTCOMES = {True: "holds", False: "does not hold", None: "not measured"}


@dataclass(frozen=True)
class ClaimResult:
    """A claim of the paper and whether it holds in our numbers; holds: None where it was not measured."""

    claim: str
    holds: bool | None
    seen: str


Block = Text | Grid | Picture | Gallery | ClaimResult


@dataclass(frozen=True)
class Page:
    """All that is said of one study. name: as in `lorae reproduce NAME`; title: in words, without the name."""

    name: str
    title: str
    blocks: tuple[Block, ...]


def averaged(values: Sequence[float | None], mean: str = ".1f", deviation: str | None = None) -> str:
    """Mean and sample standard deviation of what is known, the mean alone of one value, a dash of none.

    mean, deviation: how each is written; the deviation as the mean by default.

    >>> averaged([1.0, 2.0, None]), averaged([1.0]), averaged([])
    ('1.5 ± 0.7', '1.0', '–')
    """
    known = [float(value) for value in values if value is not None]
    if not known:
        return "–"
    words = format(statistics.fmean(known), mean)
    return words if len(known) == 1 else f"{words} ± {statistics.stdev(known):{deviation or mean}}"
