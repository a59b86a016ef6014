import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lorae.errors import LoraeError
from lorae.plotting.image_grids import plot_grid, plot_reconstructions


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def noise(count, channels=1, height=8, width=8, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (count, channels, height, width), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "columns"), [(6, 3), (5, 3), (1, 1), (4, 1), (3, 5)])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (4, 10)])
def test_every_pixel_is_where_it_belongs(tmp_path, channels, count, columns, height, width):
    images = noise(count, channels, height, width)
    sheet = pixels_of(plot_grid(images, tmp_path / "grid.png", columns))
    scale, gap, rows = 4, 2, -(-count // columns)
    assert sheet.shape == (rows * (height * scale + gap) - gap, columns * (width * scale + gap) - gap, 3)
    seen = np.zeros(sheet.shape[:2], bool)
    for index, image in enumerate(images):
        y, x = (index // columns) * (height * scale + gap), (index % columns) * (width * scale + gap)
        cell = np.s_[y : y + height * scale, x : x + width * scale]
        expected = np.broadcast_to(image.transpose(1, 2, 0), (height, width, 3))
        np.testing.assert_array_equal(sheet[cell], expected.repeat(scale, axis=0).repeat(scale, axis=1))
        seen[cell] = True
    assert (sheet[~seen] == 255).all()


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (5, 3), (9, 3), (10, 4), (64, 8)])
def test_a_grid_is_nearly_square_unless_it_is_told(tmp_path, count, columns):
    plain = plot_grid(noise(count), tmp_path / "a.png")
    told = plot_grid(noise(count), tmp_path / "b.png", columns=columns)
    assert plain.read_bytes() == told.read_bytes()


@pytest.mark.parametrize(("side", "columns", "scale"), [(32, 8, 4), (64, 8, 2), (64, 16, 1), (128, 20, 1)])
def test_large_images_are_enlarged_less(tmp_path, side, columns, scale):
    sheet = pixels_of(plot_grid(noise(columns, 1, side, side), tmp_path / "grid.png", columns))
    gap = max(1, scale // 2)
    assert sheet.shape[1] == columns * (side * scale + gap) - gap


def test_path_is_returned_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "grid.png"
    assert plot_grid(noise(2), str(path)) == path
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 1, 4, 4)),
        np.zeros((2, 4, 4), np.uint8),
        np.zeros((2, 2, 4, 4), np.uint8),
        np.zeros((0, 1, 4, 4), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_that_are_no_images_are_named(tmp_path, wrong):
    with pytest.raises(LoraeError, match=r"images are .* expected uint8 \(n, c, h, w\)"):
        plot_grid(wrong, tmp_path / "grid.png")
    with pytest.raises(LoraeError, match=r"originals are .* expected uint8 \(n, c, h, w\)"):
        plot_reconstructions(wrong, wrong, tmp_path / "grid.png")
    assert list(tmp_path.iterdir()) == []


def test_drawing_needs_no_torch():
    program = "import sys, lorae.plotting.image_grids, lorae.reports.comparison; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
