"""Grids of images as PNG files, enlarged by whole factors. Imports no torch."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lorae.errors import LoraeError
from lorae.plotting.style import MUTED
from lorae.system.files import write_atomically

MAX_COLUMNS, MAX_BLOCKS = 16, 2
# Sharp on a phone with two device pixels for each pixel; smaller images are enlarged up to it.
GRID_WIDTH = 1024
# Side in pixels up to which images of a page are enlarged: twice that of eight in a row, for sharp edges on phones.
TILE = 96


def plot_grid(images: NDArray[np.uint8], path: str | Path, columns: int | None = None) -> Path:
    """Write images, uint8 (n, c, h, w) with 1 or 3 channels, as a PNG; without `columns` the grid is nearly square."""
    pixels = _as_rgb("images", images)
    columns = columns or math.ceil(math.sqrt(len(pixels)))
    scale = min(4, max(1, GRID_WIDTH // (columns * pixels.shape[2])))
    gap = max(1, scale // 2)
    height, width = (side * scale + gap for side in pixels.shape[1:3])
    sheet = Image.new("RGB", (columns * width - gap, math.ceil(len(pixels) / columns) * height - gap), "white")
    for index, tile in enumerate(pixels):
        row, column = divmod(index, columns)
        sheet.paste(_tile(tile, scale), (column * width, row * height))
    return _save(sheet, path)


def tiled_png(images: NDArray[np.uint8], columns: int) -> bytes:
    """Return images, uint8 (n, c, h, w), in rows of so many as a PNG with transparent gaps, for a page of any color."""
    pixels = _as_rgb("images", images)
    height, width = pixels.shape[1:3]
    scale = max(1, TILE // max(height, width))
    gap = max(1, round(scale * max(height, width) / 24))
    size = columns * (width * scale + gap) - gap, -(-len(pixels) // columns) * (height * scale + gap) - gap
    sheet = Image.new("RGBA", size, (0, 0, 0, 0))
    for index, tile in enumerate(pixels):
        row, column = divmod(index, columns)
        sheet.paste(_tile(tile, scale), (column * (width * scale + gap), row * (height * scale + gap)))
    content = io.BytesIO()
    (sheet.convert("LA") if images.shape[1] == 1 else sheet).save(content, format="PNG")
    return content.getvalue()


def plot_reconstructions(originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8], path: str | Path) -> Path:
    """Write the first 32 originals as a PNG, each row above its reconstructions; both uint8 (n, c, h, w)."""
    pairs = [_as_rgb("originals", originals), _as_rgb("reconstructions", reconstructions)]
    if originals.shape != reconstructions.shape:
        raise LoraeError(
            f"reconstructions have the shape {reconstructions.shape}, expected that of the originals, {originals.shape}"
        )
    count = min(len(originals), MAX_COLUMNS * MAX_BLOCKS)
    # Two short blocks rather than one long one: on a phone the images are twice as large.
    blocks = 1 if count <= 8 else MAX_BLOCKS
    columns = math.ceil(count / blocks)
    height, width = originals.shape[2:]
    scale = min(8, max(1, 1024 // (columns * width)))
    gap = max(2, scale)
    cell_height, cell_width = height * scale, width * scale
    font = ImageFont.load_default(size=max(13, min(28, columns * cell_width // 38)))
    left = gap + _label_width(font, cell_height)
    block_height = 2 * (cell_height + gap) + 3 * gap
    size = (left + columns * (cell_width + gap), gap + blocks * block_height - 3 * gap)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for block in range(blocks):
        for row, (label, images) in enumerate(zip(("original", "reconstructed"), pairs, strict=True)):
            top = gap + block * block_height + row * (cell_height + gap)
            if left > gap:
                draw.text((gap, top + cell_height // 2), label, fill=MUTED, font=font, anchor="lm")
            for column, pixels in enumerate(images[block * columns : min(count, (block + 1) * columns)]):
                sheet.paste(_tile(pixels, scale), (left + column * (cell_width + gap), top))
    return _save(sheet, path)


def _tile(pixels: NDArray[np.uint8], scale: int) -> Image.Image:
    height, width = pixels.shape[:2]
    return Image.fromarray(pixels).resize((width * scale, height * scale), Image.Resampling.NEAREST)


def _save(sheet: Image.Image, path: str | Path) -> Path:
    content = io.BytesIO()
    sheet.save(content, format="PNG")
    write_atomically(Path(path), content.getvalue())
    return Path(path)


def _as_rgb(name: str, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images as (n, h, w, 3), which Pillow takes for gray and color."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype != np.uint8 or images.size == 0:
        raise LoraeError(
            f"{name} are {images.dtype} of shape {images.shape}, expected uint8 (n, c, h, w) with c 1 or 3"
        )
    color = np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images
    return np.ascontiguousarray(color.transpose(0, 2, 3, 1))


def _label_width(font: Any, cell_height: int) -> int:
    """Return the width of the row labels, 0 if the rows are lower than the text."""
    box = font.getbbox("reconstructed")
    return int(box[2]) + 10 if cell_height >= 1.2 * box[3] else 0
