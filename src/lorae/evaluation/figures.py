"""Measures that need only the model, and the figures of a run folder."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.data import Dataset
from lorae.metrics.spectrum import TOLERANCE, Spectrum
from lorae.models.autoencoder import Autoencoder
from lorae.plotting import image_grids as grids
from lorae.plotting import plots
from lorae.plotting.images import to_uint8
from lorae.runs.run import Run
from lorae.samplers.interpolation import linear_path, spherical_path

# Items of a figure of reconstructions: two rows of pairs fit a page.
PICTURED = 32

# Pairs of test items and steps between them in a figure of interpolations, ends included: the paper's figure 3.
PAIRS, STEPS = 6, 10


def measure_reconstruction(model: Autoencoder, dataset: Dataset) -> dict[str, Any]:
    """Return the mean squared error on the test split, with its protocol."""
    units = "pixels in [0, 1]" if dataset.kind == "images" else "standardised columns"
    return {
        "mse": model.squared_error(dataset.test.inputs),
        "n": len(dataset.test),
        "protocol": {"split": "test", "mean over": units, "clipped": False, "data": dataset.fingerprint},
    }


def measure_spectrum(model: Autoencoder, dataset: Dataset, tolerance: float = TOLERANCE) -> Spectrum:
    """Return the spectrum of the latent covariance on the test split."""
    return model.spectrum(dataset.test.inputs, "test", tolerance)


def picture_spectrum(run: Run, spectrum: Spectrum) -> None:
    """Draw the eigenvalues of a run on a logarithmic axis (the paper's figure 2)."""
    plots.plot_spectrum(
        {run.settings.method: spectrum.eigenvalues.tolist()},
        run.figure_path("spectrum"),
        tolerance=spectrum.tolerance,
        ranks={run.settings.method: spectrum.rank},
    )


def picture_reconstructions(run: Run, model: Autoencoder, dataset: Dataset, n: int = PICTURED) -> None:
    """Draw test items beside their reconstructions: the first n images, or every column of the vectors."""
    draw_reconstructions(model, dataset.test.inputs[:n], run.figure_path("reconstructions"))


def draw_reconstructions(model: Autoencoder, items: NDArray[Any], path: Path) -> None:
    """Draw items beside their reconstructions into a PNG file."""
    if len(model.spec.shape) == 3:
        grids.plot_reconstructions(items, to_uint8(model.reconstruct(items)), path)
    else:
        plots.plot_vector_reconstructions(items, model.reconstruct(items), path)


def picture_samples(run: Run, sampler: str, items: NDArray[Any]) -> None:
    """Draw generated items in a grid (images) or as curves (vectors), as in the paper's tables 1 and 2."""
    path = run.figure_path(f"samples-{sampler}")
    if items.ndim == 4:
        grids.plot_grid(items, path)
    else:
        plots.plot_vector_samples(items, path)


def drawn_pairs(items: NDArray[Any], count: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw two times `count` different items by `seed`, or as many pairs as the items allow."""
    order = np.random.default_rng(seed).permutation(len(items))[: 2 * min(count, len(items) // 2)]
    return items[order[::2]], items[order[1::2]]


def picture_interpolations(
    run: Run, model: Autoencoder, firsts: NDArray[Any], seconds: NDArray[Any], origin: NDArray[Any], steps: int = STEPS
) -> dict[str, NDArray[Any]]:
    """Decode and draw paths between latents of pairs of images, straight and along a sphere about `origin`.

    firsts, seconds: raw images (n, c, h, w)
    origin: center of the sphere, (latent_dim,)
    steps: number of images on a path, ends included

    Returns a dict: name of the path -> uint8 images (n, steps, c, h, w).
    """
    start, end = model.encode(firsts), model.encode(seconds)
    paths = {"linear": linear_path(start, end, steps), "spherical": spherical_path(start, end, steps, origin)}
    decoded = {}
    for name, path in paths.items():
        latents = path.transpose(1, 0, 2).reshape(-1, path.shape[-1]).astype(np.float32)
        images = to_uint8(model.decode(latents))
        decoded[name] = images.reshape(len(firsts), steps, *images.shape[1:])
        # The true images at both ends separate errors of reconstruction from those of interpolation.
        rows = np.concatenate([firsts[:, None], decoded[name], seconds[:, None]], axis=1)
        grids.plot_grid(rows.reshape(-1, *rows.shape[2:]), run.figure_path(f"interpolation-{name}"), columns=steps + 2)
    return decoded
