"""Blocks of a study's page, independent of Markdown and HTML."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lorae.plotting.style import save

if TYPE_CHECKING:  # lorae.plotting imports matplotlib first, in any environment
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Text:
    """A paragraph; `code` in backquotes is the only markup. `judges`: it is about the paper's claims."""

    words: str
    judges: bool = False


@dataclass(frozen=True)
class Note:
    """A paragraph that the page begins with and sets apart."""

    words: str


@dataclass(frozen=True)
class Details:
    """Paragraphs below a title, which are shown when the reader opens it; `code` in backquotes is the only markup."""

    title: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table: caption, a title for each column, and rows with as many cells, all plain text.

    `judges`: it compares our numbers with a claim of the paper; the second cells are then words of `ORDERS`.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    judges: bool = False

    def without_empty_columns(self, empty: str = "–") -> "Grid":
        """Return the table without columns whose cells are all empty, apart from the first column."""
        kept = [
            place
            for place in range(len(self.header))
            if place == 0 or any(row[place] not in ("", empty) for row in self.rows)
        ]
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        return replace(self, header=tuple(self.header[place] for place in kept), rows=rows)


@dataclass(frozen=True)
class Picture:
    """A PNG with its caption; the path is relative to the study's folder.

    `draw(width)`, for a plot, draws it so many inches wide, for a page that shows it in its own colors.
    """

    path: Path
    caption: str
    draw: "Callable[[float], Figure] | None" = field(default=None, compare=False)


@dataclass(frozen=True)
class Gallery:
    """Pictures beside each other, each with a label and a path relative to the study's folder."""

    caption: str
    shown: tuple[tuple[str, Path], ...]


# Words for the outcome of a claim, and for a comparison of two orders.
OUTCOMES = {True: "holds", False: "does not hold", None: "not measured"}
ORDERS = {True: "same", False: "different", None: "too close to tell"}
# Signs beside these words in Markdown, where they have no color.
SIGNS = {True: "✅", False: "❌", None: "➖"}


@dataclass(frozen=True)
class ClaimResult:
    """A claim of the paper, whether our numbers confirm it (None: not measured), and these numbers."""

    claim: str
    holds: bool | None
    seen: str
    judges: bool = True


Block = Text | Note | Details | Grid | Picture | Gallery | ClaimResult


@dataclass(frozen=True)
class Page:
    """The page of a study: its name in `lorae reproduce NAME`, a title without the name, and blocks."""

    name: str
    title: str
    blocks: tuple[Block, ...]


SMOKE_TEST = (
    "This is a smoke test, which shows that the study runs. Its models are trained for a few steps on a few items: its "
    "numbers say nothing about the paper or the methods, and no claim is judged. Use the preset `quick` or `paper`."
)


def unjudged(page: Page) -> Page:
    """Return the page of a smoke test: with a note that says so, and without any comparison with the paper's claims."""
    kept = (block for block in page.blocks if not getattr(block, "judges", False))
    return replace(page, blocks=(Note(SMOKE_TEST), *kept))


def not_measured(name: str, title: str, claim: str) -> Page:
    """Return the page of a study without a record."""
    return Page(name, title, (Text("Nothing has been measured yet."), ClaimResult(claim, None, "not measured")))


def plot(folder: Path, name: str, caption: str, draw: "Callable[..., Figure]") -> Picture:
    """Draw a plot to a PNG in the study's folder, and return its block; `draw(width=...)` gives the figure."""
    place = picture_place(folder, name)
    save(draw(), folder / place)
    return Picture(place, caption, lambda width: draw(width=width))


def picture_place(folder: Path, name: str) -> Path:
    """Return the place of a picture, relative to the study's folder, in which the folder `pictures` is made."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    return Path("pictures") / f"{name}.png"
