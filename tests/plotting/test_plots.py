"""The plots are files that can be looked at, and their data are where they belong."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lorae.errors import LoraeError
from lorae.plotting import plots, training_curves
from lorae.plotting.image_grids import plot_reconstructions
from lorae.plotting.plots import plot_rank_error, plot_spectrum, spectrum_figure
from lorae.plotting.style import format_tolerance
from lorae.plotting.training_curves import plot_curves


def size_of_png(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        return image.size


def step(number, **values):
    record = {"event": "step", "step": number, "epoch": 1 + (number - 1) // 10, "rank": 30}
    record |= {"terms": {"reconstruction": 1 / number, "nuclear": 60.0}, "weights": {"nuclear": 1e-4}}
    return record | values


def epoch(number, **values):
    return {"event": "epoch", "step": 10 * number, "epoch": number, "test_mse": 0.1, "rank": 28} | values


def colours(path):
    with Image.open(path) as image:
        return {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}


BLUE, ORANGE = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


@pytest.mark.parametrize(
    "values",
    [
        [1.0],
        [0.0],
        [0.0, 0.0, 0.0],
        [2.0, 2.0, 2.0, 2.0],
        [1.0, 0.5, 0.0, 0.0],
        [1.0, 1e-3, -1e-18],
        [1.0, 1e-300],
        [math.nan, 1.0],
        [math.nan, math.inf],
        list(np.geomspace(1, 1e-9, 512)),
    ],
    ids=str,
)
def test_any_spectrum_is_drawn_without_a_warning(tmp_path, values):
    path = plot_spectrum({"run": values}, tmp_path / "spectrum.png")
    width, height = size_of_png(path)
    assert 800 <= width <= 1600
    assert 500 <= height <= 1200
    assert BLUE in colours(path)


def test_spectra_are_overlaid_in_their_own_colours(tmp_path):
    spectra: dict[str, Any] = {"lorae": np.geomspace(1, 1e-2, 28), "_ae $x": np.geomspace(1, 1e-6, 64)}
    path = plot_spectrum(spectra, str(tmp_path / "new" / "spectra.png"), ranks={"lorae": 28})
    assert {BLUE, ORANGE} <= colours(path)


def test_more_runs_than_colours(tmp_path):
    spectra = {f"run {number}": [1.0, 0.1 / (number + 1)] for number in range(14)}
    size_of_png(plot_spectrum(spectra, tmp_path / "many.png"))


def test_the_scale_of_the_eigenvalues_does_not_matter(tmp_path):
    first = plot_spectrum({"run": [8.0, 4.0, 1.0]}, tmp_path / "a.png")
    second = plot_spectrum({"run": [1.0, 8.0, 4.0]}, tmp_path / "b.png")
    third = plot_spectrum({"run": [800.0, 400.0, 100.0]}, tmp_path / "c.png")
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


def test_the_rank_is_counted_where_it_is_not_given(tmp_path):
    eigenvalues = [1.0, 0.5, 1e-3, 1e-4]
    counted = plot_spectrum({"run": eigenvalues}, tmp_path / "a.png", tolerance=1e-3)
    given = plot_spectrum({"run": eigenvalues}, tmp_path / "b.png", tolerance=1e-3, ranks={"run": 2})
    other = plot_spectrum({"run": eigenvalues}, tmp_path / "c.png", tolerance=1e-3, ranks={"run": 3})
    assert counted.read_bytes() == given.read_bytes() != other.read_bytes()


def test_a_spectrum_is_cut_where_rounding_begins_and_its_rank_is_written_at_its_dot():
    axes: Any = spectrum_figure({"run": [1.0, 0.1, 1e-5, 1e-12]}).axes[0]
    assert axes.get_ylim()[0] == 1e-8
    assert axes.get_ylabel() == "variance (relative to largest)"
    (dot,) = [line for line in axes.lines if line.get_marker() == "o"]
    (label,) = [text for text in axes.texts if text.get_text() == "rank 2"]
    assert label.xy == (dot.get_xdata()[0], dot.get_ydata()[0]) == (2, 0.1)
    (shaded,) = axes.patches
    assert shaded.get_x() == 2.5  # what lies after the rank is not used
    assert spectrum_figure({"run": [1.0, 0.1]}, tolerance=1e-9).axes[0].get_ylim()[0] < 1e-9


def test_spectra_that_are_compared_are_shaded_below_the_tolerance():
    axes: Any = spectrum_figure({"a": [1.0, 0.1, 1e-5], "b": [1.0, 1e-5]}, tolerance=1e-2).axes[0]
    (shaded,) = axes.patches
    assert shaded.get_y() + shaded.get_height() == pytest.approx(1e-2)
    assert [text.get_text() for text in axes.texts] == ["1", "2"]


def test_a_curve_that_ends_before_the_width_says_why(tmp_path, monkeypatch):
    labels: list[str] = []
    monkeypatch.setattr(plots, "legend_below", lambda figure, handles, names: labels.extend(names))
    plots.plot_spectrum({"few": [1.0] * 29, "all": [1.0, 0.5]}, tmp_path / "s.png", widths={"few": 128, "all": 2})
    assert labels[:2] == ["few: rank 29 of 128 (30 items show 29)", "all: rank 2 of 2"]


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -1e-3, math.nan])
def test_a_tolerance_outside_its_range_is_named(tmp_path, tolerance):
    with pytest.raises(LoraeError, match=r"tolerance .* is not between 0 and 1"):
        plot_spectrum({"run": [1.0]}, tmp_path / "spectrum.png", tolerance=tolerance)


def test_nothing_to_plot(tmp_path):
    with pytest.raises(LoraeError, match="no spectrum"):
        plot_spectrum({}, tmp_path / "x.png")
    with pytest.raises(LoraeError, match="'run' is empty"):
        plot_spectrum({"run": []}, tmp_path / "x.png")
    with pytest.raises(LoraeError, match="no training records"):
        plot_curves([], tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "text"), [(1e-3, "10⁻³"), (0.1, "10⁻¹"), (1e-12, "10⁻¹²"), (0.005, "0.005"), (1.0, "10⁰")]
)
def test_tolerances_are_written_as_powers_of_ten(value, text):
    assert format_tolerance(value) == text


@pytest.mark.parametrize(
    "records",
    [
        [step(1)],
        [epoch(1)],
        [step(10), epoch(1), step(20), epoch(2)],
        [step(1, terms={"reconstruction": 0.0}), step(2, terms={"reconstruction": 0.0})],
        [step(1, terms={"reconstruction": math.nan, "nuclear": math.inf}), step(2, rank=None)],
        [step(1, terms=None, rank=None)],
        [step(1), step(2, terms={"reconstruction": 1.0, "late": 3.0})],
        [step(n, terms={"reconstruction": 1.0, "nuclear": 10.0**-n}) for n in range(1, 9)],
    ],
    ids=range(8),
)
def test_any_log_is_drawn_without_a_warning(tmp_path, records):
    width, height = size_of_png(plot_curves(records, tmp_path / "curves.png"))
    assert 800 <= width <= 1600
    assert height >= 500


def test_each_penalty_has_a_panel(tmp_path):
    def height(*penalties):
        terms = {"reconstruction": 0.1} | dict.fromkeys(penalties, 2.0)
        path = plot_curves([step(1, terms=terms), step(2, terms=terms)], tmp_path / "curves.png")
        return size_of_png(path)[1]

    none, one, two = height(), height("nuclear"), height("nuclear", "l1")
    assert one - none == two - one > 200


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_the_grid_are_where_they_belong(tmp_path, channels):
    """A grid of 4 columns: every pixel of every image is looked up at the place that the layout gives it."""
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (4, channels, 8, 8), dtype=np.uint8)
    path = plot_reconstructions(originals, 255 - originals, tmp_path / "grid.png")
    with Image.open(path) as image:
        sheet = np.asarray(image.convert("RGB"))
    scale, gap = 8, 8
    left = sheet.shape[1] - 4 * (8 * scale + gap)
    assert left >= gap
    assert sheet.shape[0] == 2 * 8 * scale + 3 * gap
    for row, images in enumerate((originals, 255 - originals)):
        for column in range(4):
            y, x = gap + row * (8 * scale + gap), left + column * (8 * scale + gap)
            cell = sheet[y : y + 8 * scale, x : x + 8 * scale]
            expected = np.broadcast_to(images[column].transpose(1, 2, 0), (8, 8, 3))
            np.testing.assert_array_equal(cell, expected.repeat(scale, axis=0).repeat(scale, axis=1))
    assert (sheet[:gap] == 255).all()


@pytest.mark.parametrize(("count", "columns", "blocks"), [(1, 1, 1), (8, 8, 1), (9, 5, 2), (32, 16, 2), (99, 16, 2)])
def test_images_are_laid_out_in_at_most_two_blocks(tmp_path, count, columns, blocks):
    black = np.zeros((count, 1, 32, 32), np.uint8)
    path = plot_reconstructions(black, black, tmp_path / "grid.png")
    with Image.open(path) as image:
        dark = np.asarray(image.convert("L")) == 0
    scale = min(8, 1024 // (32 * columns))
    assert dark.sum() == 2 * min(count, 32) * (32 * scale) ** 2
    # Rows and columns of images, counted where darkness begins along a line through the first image.
    first_y, first_x = np.argwhere(dark)[0]
    assert np.diff(dark[first_y].astype(int)).tolist().count(1) == columns
    assert np.diff(dark[:, first_x].astype(int)).tolist().count(1) == 2 * blocks


def test_rows_lower_than_the_text_have_no_labels(tmp_path):
    white = np.full((16, 3, 2, 64), 255, np.uint8)
    assert colours(plot_reconstructions(white, white, tmp_path / "grid.png")) == {(255, 255, 255)}


def point(rank, mse, label=None):
    return {"label": label or str(rank), "rank": rank, "mse": mse}


@pytest.mark.parametrize(
    ("points", "options"),
    [
        ([point(3, 0.1)], {}),
        ([point(3, 0.1)], {"marked": "3", "bound": 0.1}),
        ([point(0, 1.0), point(128, 0.0)], {"bound": 1e-3}),
        ([point(20, 1e-9), point(10, 1e-2), point(5, 1.0)], {"marked": "10", "bound": 0.1}),
        ([point(4, 0.1, "1e-05"), point(4, 0.2, "$x_"), point(4, 0.3, "1"), point(4, 0.3, "2")], {"marked": "$x_"}),
        ([point(rank, 1 / rank) for rank in range(1, 40)], {"marked": "7"}),
    ],
    ids=range(6),
)
def test_any_ranks_and_errors_are_drawn_without_a_warning(tmp_path, points, options):
    path = plot_rank_error(points, tmp_path / "ranks.png", **options)
    width, height = size_of_png(path)
    assert 800 <= width <= 1600
    assert 500 <= height <= 1200
    assert (BLUE in colours(path)) or len(points) == 1  # one point alone is under its mark
    assert (ORANGE in colours(path)) == ("marked" in options)


def test_ranks_are_drawn_along_the_axis_whatever_the_order_of_trials(tmp_path):
    points = [point(20, 0.01), point(10, 0.02), point(5, 0.5), point(7, 0.03)]
    first = plot_rank_error(points, tmp_path / "a.png", marked="7")
    second = plot_rank_error(sorted(points, key=lambda each: each["mse"]), tmp_path / "b.png", marked="7")
    other = plot_rank_error(points, tmp_path / "c.png", marked="5")
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()


def test_no_rank_to_plot(tmp_path):
    with pytest.raises(LoraeError, match="no rank to plot"):
        plot_rank_error([], tmp_path / "ranks.png")


def test_reconstructions_must_match_the_originals(tmp_path):
    images = np.zeros((2, 1, 4, 4), np.uint8)
    with pytest.raises(LoraeError, match=r"\(1, 1, 4, 4\), expected that of the originals, \(2, 1, 4, 4\)"):
        plot_reconstructions(images, images[:1], tmp_path / "grid.png")


@pytest.fixture
def figures(monkeypatch):
    """Figures that are drawn, instead of their files."""
    found: list[Any] = []
    for module in (plots, training_curves):
        monkeypatch.setattr(module, "save", lambda figure, path: found.append(figure) or path)
    return found


@pytest.mark.parametrize("ranks", [(1,), (8, 9, 10, 12, 16), (90, 96, 110, 120), (3, 3)])
def test_the_axis_of_ranks_has_whole_numbers_from_zero_to_a_little_above_the_largest(ranks, figures, tmp_path):
    plot_rank_error([{"label": str(rank), "rank": rank, "mse": 1 / rank} for rank in ranks], tmp_path / "r.png")
    (axes,) = figures[0].axes
    low, high = axes.get_xlim()
    assert low == 0
    assert max(ranks) < high <= 1.2 * max(ranks)
    assert all(tick == round(tick) for tick in axes.get_xticks())


@pytest.mark.parametrize("ranks", [(0, 0), (1, 1), (128, 26)])
@pytest.mark.parametrize(("of_matrix", "line"), [(True, "M"), (False, "training batches")])
def test_the_ranks_of_a_training_start_at_zero_and_say_what_they_are_of(ranks, of_matrix, line, figures, tmp_path):
    records = [step(1, rank=ranks[0]), step(2, rank=ranks[1]), epoch(1, rank=ranks[1])]
    plot_curves(records, tmp_path / "c.png", of_matrix=of_matrix)
    axes = figures[0].axes[-1]
    low, high = axes.get_ylim()
    assert low == 0
    assert max(1, *ranks) < high <= 1.2 * max(1, *ranks)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [line, "latents, test set"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LoraeError, match=r"cannot write .*file"):
        plot_spectrum({"run": [1.0]}, tmp_path / "file" / "spectrum.png")


def test_drawing_touches_no_global_state(tmp_path):
    # "backend" is left out, because reading it makes matplotlib choose one and import pyplot.
    program = f"""
import sys, matplotlib
def state():
    return {{key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}}
before = state()
import lorae.plotting.plots
lorae.plotting.plots.plot_spectrum({{"run": [1.0, 0.1]}}, {str(tmp_path / "x.png")!r})
assert state() == before
assert not {{"torch", "matplotlib.pyplot"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
