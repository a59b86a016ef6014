"""Vectors are drawn in standardized units, under the names of their columns, in figures of bounded size."""

import numpy as np
import pytest

from lorae.errors import LoraeError
from lorae.plotting.inline_svg import inline_svg
from lorae.plotting.vectors import (
    LONGEST_NAME,
    items_figure,
    reconstructions_figure,
    samples_figure,
    traversals_figure,
)

UNIT = "value, standardized"


def vectors(n, d):
    return np.random.default_rng(0).normal(size=(n, d))


def ticks(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def test_few_columns_have_a_panel_each_with_their_name():
    items = vectors(12, 3)
    for names, titles in ((("a", "<b>", "$c"), ["a", "<b>", "$c"]), ((), ["column 1", "column 2", "column 3"])):
        for figure in (reconstructions_figure(items, items + 1, names), samples_figure(items, names)):
            assert [axes.get_title(loc="left") for axes in figure.axes] == titles
            assert figure.get_supylabel() == UNIT
            np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), items[:, 1])


def test_more_columns_share_an_axis_with_their_names():
    names = [f"column of a long name {number}" for number in range(13)]
    figure = reconstructions_figure(vectors(6, 13), vectors(6, 13), names)
    assert len(figure.axes) == 4
    assert figure.get_supylabel() == UNIT
    assert ticks(figure.axes[-1]) == [f"{name[: LONGEST_NAME - 1]}…" for name in names]
    assert samples_figure(vectors(6, 13)).axes[0].get_xlabel() == "column"


def test_a_traversal_has_a_panel_for_each_axis_with_its_share():
    points = vectors(10, 8).reshape(2, 5, 8)
    figure = traversals_figure(points, [0.75, 0.25], [-2, -1, 0, 1, 2], [f"c{number}" for number in range(8)])
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "axis 1: 75.0% of the variance",
        "axis 2: 25.0% of the variance",
    ]
    first, last = figure.axes[0].lines[:2]
    np.testing.assert_array_equal(first.get_ydata(), points[0, 0])
    np.testing.assert_array_equal(last.get_ydata(), points[0, -1])
    assert [first.get_label(), last.get_label()] == ["−2 deviations", "+2 deviations"]


def test_items_have_titles():
    figure = items_figure(vectors(2, 9), vectors(2, 9), titles=["worst: error 3", "best: error 1"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["worst: error 3", "best: error 1"]


def test_figures_of_many_columns_stay_small():
    many = vectors(64, 20_000)
    for figure in (
        reconstructions_figure(many, many),
        samples_figure(many),
        traversals_figure(many[:30].reshape(6, 5, -1), [0.1] * 6, [-2, -1, 0, 1, 2]),
    ):
        assert len(inline_svg(figure, "many", "many")) < 400_000


def test_reconstructions_must_match_the_originals():
    with pytest.raises(LoraeError, match="expected the same"):
        reconstructions_figure(vectors(3, 4), vectors(2, 4))
