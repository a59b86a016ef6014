"""The spectrum of codes as a scikit-learn Display."""

import importlib
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted


class SpectrumDisplay:
    """Shares of the variance that codes keep, each and summed, by their number.

    Parameters
    ----------
    explained_variance_ratio : array of shape (n_components,)
        As of `LoRAE.explained_variance_ratio_`.
    name : str, default=None
        Name in the legend; None draws no legend.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
    bars_ : matplotlib BarContainer
        Shares of each code.
    line_ : matplotlib Line2D
        Sums of the leading shares.

    Examples
    --------
    >>> SpectrumDisplay(explained_variance_ratio=[0.7, 0.2]).plot().line_.get_ydata().round(2)
    array([0.7, 0.9])
    """

    def __init__(self, *, explained_variance_ratio: Any, name: str | None = None) -> None:
        self.explained_variance_ratio = explained_variance_ratio
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Any = None, name: str | None = None, **style: Any
    ) -> "SpectrumDisplay":
        """Draw the spectrum of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            `LoRAE`, `PCA` or another one with the attribute `explained_variance_ratio_`.
        ax : matplotlib Axes, default=None
            Drawn on, as to compare two estimators; None makes a new figure by pyplot.
        name : str, default=None
            Name in the legend; None takes that of the class.
        **style
            Keywords of the line, as of `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : SpectrumDisplay
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "explained_variance_ratio_"):
            found = type(estimator).__name__
            raise ValueError(f"estimator: got {found}, expected one with explained_variance_ratio_, as LoRAE or PCA")
        name = type(estimator).__name__ if name is None else name
        return cls(explained_variance_ratio=estimator.explained_variance_ratio_, name=name).plot(ax, **style)

    def plot(self, ax: Any = None, **style: Any) -> "SpectrumDisplay":
        """Draw on axes, or on a new figure by pyplot; `style` has keywords of the line. Return the display itself."""
        if ax is None:
            importlib.import_module("lorae.plotting")  # which imports matplotlib in unusable environments too
            from matplotlib import pyplot

            _, ax = pyplot.subplots()
        shares = np.asarray(self.explained_variance_ratio, np.float64)
        numbers = np.arange(1, len(shares) + 1)
        options = {"marker": ".", "label": self.name} | style
        (self.line_,) = ax.plot(numbers, np.cumsum(shares), **options)
        self.bars_ = ax.bar(numbers, shares, color=self.line_.get_color(), alpha=0.3)
        ax.set(xlabel="number of codes", ylabel="share of the variance", ylim=(0, 1.03))
        ax.xaxis.get_major_locator().set_params(integer=True)
        if self.name is not None:
            ax.legend(loc="center right")
        self.ax_, self.figure_ = ax, ax.figure
        return self
