"""Figures of a page: plots in two widths, and rows of images, each with a title and a caption. Imports no torch."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from lorae.data.pictures import decode_picture, refuse_huge_pictures
from lorae.plotting.image_grids import tiled_png
from lorae.plotting.inline_svg import inline_svg
from lorae.plotting.style import NARROW, WIDE, printable
from lorae.reports.templating import data_uri
from lorae.system.files import read_file

if TYPE_CHECKING:  # lorae.plotting imports matplotlib first, in any environment
    from matplotlib.figure import Figure as Drawing

# Images in a row: on a phone of 390 pixels, each is 42 pixels wide.
PER_ROW = 8
# Rows of images of one figure, and pixels of a picture from the run's folder. They bound the size of a page: of pure
# noise, eight color images take 130 KB, and a picture 1.6 MB.
ROWS, PIXELS = 8, 400_000
# Bytes of a picture that is read: a plot has less than one MiB, and a photograph of 20 megapixels has up to 60.
MOST_BYTES = 64 * 2**20


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
    return Row(label, data_uri(tiled_png(images, columns)), 100 * columns / PER_ROW)


def picture_source(path: Path) -> str:
    """Return a picture of the run's folder as a source: its pixels alone, fewer of them if it is large, on white.

    A file may hold texts and profiles of any size beside the pixels. Raises OSError for what is no regular file, and
    the errors of `decode_picture`.
    """
    content = read_file(path, MOST_BYTES)
    with refuse_huge_pictures():
        image = decode_picture(content)
    pixels = image.width * image.height
    if pixels > PIXELS:
        factor = (PIXELS / pixels) ** 0.5
        size = max(1, int(image.width * factor)), max(1, int(image.height * factor))
        image = image.resize(size, Image.Resampling.BOX)
    encoded = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(encoded, format="PNG")  # of an array, which has pixels alone
    return data_uri(encoded.getvalue())
