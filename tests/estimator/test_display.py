"""The spectrum as a scikit-learn Display."""

import numpy as np
import pytest
from matplotlib import pyplot
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from lorae import LoRAE
from lorae.estimator import SpectrumDisplay


@pytest.fixture(autouse=True)
def _figures():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def test_bars_are_shares_and_the_line_their_sums(fitted):
    display = fitted.plot_spectrum(color="red")
    ratio = fitted.explained_variance_ratio_
    np.testing.assert_allclose([bar.get_height() for bar in display.bars_], ratio)
    np.testing.assert_allclose(display.line_.get_ydata(), np.cumsum(ratio))
    np.testing.assert_array_equal(display.line_.get_xdata(), np.arange(1, len(ratio) + 1))
    assert display.line_.get_color() == "red"
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["LoRAE"]


def test_two_estimators_are_compared_on_the_same_axes(fitted, plane):
    display = SpectrumDisplay.from_estimator(fitted)
    other = SpectrumDisplay.from_estimator(PCA(4).fit(plane), ax=display.ax_, name="straight")
    assert other.ax_ is display.ax_
    assert len(display.ax_.get_lines()) == 2


def test_estimators_without_a_spectrum_are_refused():
    with pytest.raises(NotFittedError):
        SpectrumDisplay.from_estimator(LoRAE())
    with pytest.raises(ValueError, match="got Ridge, expected one with explained_variance_ratio_"):
        SpectrumDisplay.from_estimator(Ridge().fit([[0.0], [1.0]], [0, 1]))
