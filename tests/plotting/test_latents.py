"""Codes by class, and errors of single items, of any kind."""

import numpy as np
import pytest

from lorae.plotting.latents import CLASSES, codes_figure, errors_figure


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()] if figure.legends else []


def test_codes_have_a_color_and_a_marker_for_each_class():
    codes, labels = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 10
    figure = codes_figure(codes, labels)
    assert legend(figure) == [str(label) for label in range(10)]
    looks = {(line.get_color(), line.get_marker()) for line in figure.axes[0].lines}
    assert len(looks) == 10
    np.testing.assert_array_equal(figure.axes[0].lines[3].get_xdata(), codes[labels == 3, 0])


def test_of_many_classes_the_largest_have_colors():
    labels = np.concatenate([np.arange(100), np.repeat(np.arange(5, 17), 3)])
    assert legend(codes_figure(np.zeros((len(labels), 2)), labels)) == ["other", *map(str, range(5, 5 + CLASSES))]


@pytest.mark.parametrize("width", [1, 2])
def test_codes_without_classes_have_no_legend(width):
    figure = codes_figure(np.ones((3, width)), None)
    assert legend(figure) == []
    assert np.asarray(figure.axes[0].lines[0].get_xdata()).shape == (3,)


@pytest.mark.parametrize(
    "errors", [[0.0], [0.0, 0.0], [0.2], [0.2, 0.2], [0.0, 1.0], [1e-9, 1.0], list(np.geomspace(0.1, 3, 500))], ids=str
)
def test_every_error_is_in_the_histogram(errors):
    figure = errors_figure(np.array(errors, dtype=np.float32))
    (bars,) = [patch for patch in figure.axes[0].patches if hasattr(patch, "get_data")]
    assert bars.get_data().values.sum() == len(errors)
    assert legend(figure) == [f"mean {np.array(errors, dtype=np.float32).astype(float).mean():.4g}"]
