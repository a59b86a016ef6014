"""What the page of a table, a figure or a theorem is made of, before it is Markdown or HTML."""

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
