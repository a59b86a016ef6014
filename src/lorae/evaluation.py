"""A trained model and its data -> numbers with their protocol, and figures."""

from typing import Any

import numpy as np

from lorae import plots
from lorae.data import Dataset
from lorae.metrics.spectrum import TOLERANCE, Spectrum
from lorae.model import Autoencoder
from lorae.runs import Run

# As many as fit a page in two rows of pairs.
PICTURED = 32


def evaluate(run: Run, model: Autoencoder, dataset: Dataset) -> None:
    """Measure reconstruction and rank on the test split, write `evaluation.json` and the figures."""
    run.add_to_evaluation({"reconstruction": measure_reconstruction(model, dataset)})
    spectrum = measure_spectrum(model, dataset)
    run.add_to_evaluation({"rank": spectrum.to_json() | {"matrix_rank": model.matrix_rank()}})
    picture_spectrum(run, spectrum)
    picture_reconstructions(run, model, dataset)


def measure_reconstruction(model: Autoencoder, dataset: Dataset) -> dict[str, Any]:
    """Mean squared error on the test split, with its protocol."""
    units = "pixels in [0, 1]" if dataset.kind == "images" else "standardised columns"
    return {
        "mse": model.squared_error(dataset.test.inputs),
        "n": len(dataset.test),
        "protocol": {"split": "test", "mean over": units, "clipped": False, "data": dataset.fingerprint},
    }


def measure_spectrum(model: Autoencoder, dataset: Dataset, tolerance: float = TOLERANCE) -> Spectrum:
    """The spectrum of the latent covariance on the test split."""
    return model.spectrum(dataset.test.inputs, "test", tolerance)


def picture_spectrum(run: Run, spectrum: Spectrum) -> None:
    """The eigenvalues of one run on a logarithmic axis (the paper's figure 2)."""
    plots.plot_spectrum(
        {run.settings.method: spectrum.eigenvalues.tolist()},
        run.figure_path("spectrum"),
        tolerance=spectrum.tolerance,
        ranks={run.settings.method: spectrum.rank},
    )


def picture_reconstructions(run: Run, model: Autoencoder, dataset: Dataset, n: int = PICTURED) -> None:
    """Test items beside their reconstructions: the first n images, or every column of the vectors."""
    path = run.figure_path("reconstructions")
    items = dataset.test.inputs[:n]
    if dataset.kind == "images":
        plots.plot_reconstructions(items, to_uint8(model.reconstruct(items)), path)
    else:
        plots.plot_vector_reconstructions(items, model.reconstruct(items), path)


def to_uint8(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Images in [0, 1] to uint8: clipped, then rounded (truncation would darken, and negatives would wrap)."""
    rounded: np.ndarray[Any, Any] = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return rounded
