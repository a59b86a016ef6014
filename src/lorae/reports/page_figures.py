"""Figures of a page: plots in two widths, and rows of images, each with a title and a caption. Imports no torch."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from lorae.plotting.image_grids import tiled_png
from lorae.plotting.inline_svg import inline_svg
from lorae.plotting.style import NARROW, WIDE, printable

if TYPE_CHECKING:  # lorae.plotting imports matplotlib first, in any environment
    from matplotlib.figure import Figure as Drawing

# Images in a row: on a phone of 390 pixels, each is 42 pixels wide.
PER_ROW = 8
# Rows of images of one figure, and pixels of a picture from the run's folder. They bound the size of a page: of pure
# noise, eight color images take 130 KB, and a picture 1.6 MB.
ROWS, PIXELS = 8, 400_000


@dataclass(frozen=True)
class Row:
    """Images beside each other, perhaps in several lines: a PNG as a data URI, and the label above it.

    `share` is the part of the row that they fill, in percent: fewer than eight images are not shown larger.
    """

    label: str
    source: str
    share: float = 100.0


@dataclass(frozen=True)
class PageFigure:
    """A figure of a page.

    It is drawn as `plot`, two SVG elements of which the page shows the one for its width, or as `rows` of images, or as
    `picture`, the data URI of a PNG on white. `alt` describes it to those who do not see it.
    """

    key: str
    title: str
    alt: str
    caption: str = ""
    plot: tuple[Markup, Markup] | None = None
    rows: tuple[Row, ...] = ()
    picture: str | None = None


def plotted(key: str, title: str, alt: str, caption: str, draw: "Callable[[float], Drawing]") -> PageFigure:
    """Return a plot; `draw(width)` draws it so many inches wide, `key` is that of no other plot of the page."""
    # ElementTree has escaped every text.
    wide, narrow = (
        Markup(inline_svg(draw(width), f"{key}-{name}", printable(alt), f"plot {name}"))
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    )
    return PageFigure(key, title, alt, caption, plot=(wide, narrow))


def pair_rows(originals: NDArray[Any], others: NDArray[Any]) -> tuple[Row, ...]:
    """Return rows of eight images, each above its counterpart."""
    starts = range(0, min(len(originals), PER_ROW * ROWS), PER_ROW)
    parts = [slice(start, start + PER_ROW) for start in starts]
    return tuple(_row(np.concatenate([originals[part], others[part]]), len(originals[part])) for part in parts)


def grid_rows(images: NDArray[Any]) -> tuple[Row, ...]:
    """Return images in lines of eight, as one row."""
    return (_row(images[: PER_ROW * ROWS], min(PER_ROW, len(images))),)


def path_rows(paths: NDArray[Any], labels: Sequence[str] = ()) -> tuple[Row, ...]:
    """Return a row for each path of images (paths, steps, ...), of eight of its images with both ends."""
    steps = paths.shape[1]
    chosen = np.arange(steps) if steps <= PER_ROW else np.round(np.linspace(0, steps - 1, PER_ROW)).astype(int)
    shown = enumerate(paths[:ROWS])
    return tuple(_row(path[chosen], len(chosen), labels[number] if labels else "") for number, path in shown)


def _row(images: NDArray[Any], columns: int, label: str = "") -> Row:
    return Row(label, png_source(tiled_png(images, columns)), 100 * columns / PER_ROW)


def png_source(content: bytes) -> str:
    """Return a PNG as the source of an image, so that a page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def picture_source(path: Path) -> str:
    """Return a PNG of the run's folder as a source, made smaller if it is large."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        pixels = image.width * image.height
        if pixels > PIXELS:
            factor = (PIXELS / pixels) ** 0.5
            size = max(1, int(image.width * factor)), max(1, int(image.height * factor))
            reduced = io.BytesIO()
            image.convert("RGB").resize(size, Image.Resampling.BOX).save(reduced, format="PNG")
            content = reduced.getvalue()
    return png_source(content)
