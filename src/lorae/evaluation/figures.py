"""Measures that need only the model, and the figures of a run folder."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lorae.config.resolution import WITH_LINEAR_PATH
from lorae.data import Dataset
from lorae.documentation import EXPLAINED_VARIANCE, see
from lorae.errors import DivergedError, ExplainedVarianceWarning, NotApplicableError
from lorae.metrics.explained import affordable_rows, pca_error
from lorae.metrics.ranks import visible
from lorae.metrics.spectrum import TOLERANCE, TOLERANCES, Spectrum
from lorae.models.autoencoder import Autoencoder
from lorae.plotting import image_grids as grids
from lorae.plotting import plots, vectors
from lorae.plotting.images import to_uint8
from lorae.plotting.style import save
from lorae.runs.figure_data import write_figure_items
from lorae.runs.run import Run
from lorae.samplers.interpolation import linear_path, spherical_path
from lorae.system.stored_items import StoredItems

# Items of a figure of reconstructions: two rows of pairs fit a page.
PICTURED = 32

# Largest side of an image in a report, in pixels: it is shown 42 to 47 pixels wide.
SIDE = 64

# Pairs of test items and steps between them in a figure of interpolations, ends included: the paper's figure 3.
PAIRS, STEPS = 6, 10

# A model is worse than PCA if its error is above this share of PCA's, and by more than the rounding of float32, which
# counts where PCA is exact.
WORSE = 1.02

UNITS = {"images": "pixels in [0, 1]", "vectors": "standardised columns", "tensors": "standardised channels"}

ROUNDING = 1e-6
# Entries of the items of a file that PCA is fitted to and measured on, which take 96 MB in float64 and some copies.
LARGEST = 12_000_000
# Share of the largest singular value of M below which one is a zero that float32 has rounded.
ZERO = 1e-6


def measure_reconstruction(
    model: Autoencoder, dataset: Dataset, errors: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Return the mean squared error on the test split, with its protocol; `errors` are those of its items, if known.

    DivergedError for an error that is not finite.
    """
    return {
        "mse": _finite(float((model.squared_errors(dataset.test.inputs) if errors is None else errors).mean())),
        "n": len(dataset.test),
        "protocol": {"split": "test", "mean over": _units(dataset), "clipped": False, "data": dataset.fingerprint},
    }


def _finite(mse: float) -> float:
    """Return an error of test items; raise DivergedError if it is not finite."""
    if not math.isfinite(mse):
        raise DivergedError(f"test items: got a reconstruction error of {mse}; the model has diverged")
    return mse


def directions_of(run: Run, model: Autoencoder, latent_rank: int) -> int:
    """Return the number of directions that codes have, with as many of which PCA is compared.

    It is the width of a truncation, the rank of M after proximal steps, whose zeros are exact, and otherwise the rank
    of the latents: items are decoded from directions of little variance too, unless these are cut off.
    """
    if "truncated" in run.config:
        return model.spec.latent_dim
    exact = model.matrix_rank(ZERO) if run.settings.matrix_update == "prox" else None
    return latent_rank if exact is None else max(exact, latent_rank)


def measure_explained(model: Autoencoder, dataset: Dataset, rank: int, seed: int = 0) -> dict[str, Any]:
    """Return the share of the variance of test items that a model of `rank` directions explains, and PCA with as many.

    PCA is fitted on the training items; both errors are of the same test items, random ones of many.
    """
    splits = {"train": dataset.train.inputs, "test": dataset.test.inputs}
    width = math.prod(splits["test"].shape[1:])
    n = {name: affordable_rows(len(items), width) for name, items in splits.items()}
    for name, items in splits.items():
        if isinstance(items, StoredItems):
            n[name] = min(n[name], max(2, LARGEST // width))
    train, test = (np.asarray(random_items(items, n[name], seed)) for name, items in splits.items())
    mse = _finite(model.squared_error(test))
    variance, pca_mse = (
        float(error) for error in pca_error(_in_units_of(model, train), _in_units_of(model, test), [0, rank])
    )
    if variance == 0:
        raise NotApplicableError("test items: all are the mean of the training items, expected a variance to explain")
    return {
        "model": 1 - mse / variance,
        "pca": 1 - pca_mse / variance,
        "rank": rank,
        "latent_dim": model.spec.latent_dim,
        "mse": mse,
        "pca_mse": pca_mse,
        "variance": variance,
        "protocol": {
            "split": "test",
            "explained": "1 - mean squared error / variance about the mean of the training items",
            "pca": "with as many directions as the codes of the model, on training items",
            "n": f"{n['test']} of {len(splits['test'])}",
            "pca fitted on": f"{n['train']} of {len(splits['train'])}",
            "mean over": _units(dataset),
            "data": dataset.fingerprint,
            "seed": seed,
        },
    }


def random_items(items: NDArray[Any], n: int, seed: int) -> NDArray[Any]:
    """Return n different items drawn by `seed`, in their order; the items themselves if that is all of them."""
    return items if n == len(items) else items[np.sort(np.random.default_rng(seed).permutation(len(items))[:n])]


def explained_warning(explained: dict[str, Any] | None, network: str | None) -> ExplainedVarianceWarning | None:
    """Return a warning for a result of `measure_explained` below PCA's or half of the variance, else None.

    network: that of the model, on which the advice depends
    """
    if explained is None:
        return None
    if explained["mse"] > WORSE * explained["pca_mse"] + ROUNDING * explained["variance"]:
        complaint = "less than PCA"
        advice = "train longer (epochs=N), lower the penalty, or start as PCA (network=residual)"
        if network in WITH_LINEAR_PATH:  # it started as PCA, and training made it worse
            advice = "lower the penalty, train less long (epochs=N, or auto for vectors, which falls back to PCA), "
            advice += "or fit lorae.LoRAE, which keeps PCA as a floor"
    elif explained["model"] < 0.5:
        complaint, advice = "under half", "lower the penalty, or allow more directions"
    else:
        return None
    ours, pca = _shares_apart(explained["model"], explained["pca"])
    return ExplainedVarianceWarning(
        f"explained variance: the model keeps {ours} of the variance of test items, {complaint}: PCA with its "
        f"{explained['rank']} directions keeps {pca}; {advice}{see(EXPLAINED_VARIANCE)}",
        settings={"epochs": "N", "network": "residual"},
    )


def _shares_apart(one: float, other: float) -> tuple[str, str]:
    """Return two shares in percent, with as many decimals as show that they differ."""
    for decimals in range(1, 9):
        shown = f"{one:.{decimals}%}", f"{other:.{decimals}%}"
        if shown[0] != shown[1]:
            break
    return shown


def _in_units_of(model: Autoencoder, items: NDArray[Any]) -> NDArray[np.float64]:
    """Return items in the units of the model's error, but from float64 on: images in [0, 1], standardized vectors."""
    shift, scale = (values.cpu().numpy().astype(np.float64) for values in (model.scaling.shift, model.scaling.scale))
    raw: NDArray[np.float64] = items.astype(np.float64)
    return raw if model.scaling.images and items.dtype != np.uint8 else (raw - shift) / scale


def _units(dataset: Dataset) -> str:
    return UNITS[dataset.kind]


def measure_spectrum(model: Autoencoder, dataset: Dataset, tolerance: float = TOLERANCE) -> Spectrum:
    """Return the spectrum of the latent covariance on the items of `spectrum_split`."""
    split = spectrum_split(dataset, model.spec.latent_dim)
    return model.spectrum(getattr(dataset, split).inputs, split, tolerance)


def spectrum_split(dataset: Dataset, latent_dim: int) -> str:
    """Return the split for a covariance: `test`, or `train` if too few test items span all latent coordinates."""
    return "train" if len(dataset.test) <= latent_dim and len(dataset.test) < len(dataset.train) else "test"


def matrix_ranks(model: Autoencoder) -> dict[str, Any]:
    """Return the ranks of M at several tolerances; None without a linear bottleneck."""
    ranks = {f"{tolerance:g}": model.matrix_rank(tolerance) for tolerance in TOLERANCES}
    rank = model.matrix_rank()
    return {"matrix_rank": rank, "matrix_ranks": None if rank is None else ranks}


def picture_spectrum(run: Run, spectrum: Spectrum) -> None:
    """Draw the eigenvalues of a run on a logarithmic axis (the paper's figure 2)."""
    name, eigenvalues = run.settings.method, spectrum.eigenvalues
    plots.plot_spectrum(
        {name: visible(eigenvalues, spectrum.n).tolist()},
        run.figure_path("spectrum"),
        tolerance=spectrum.tolerance,
        ranks={name: spectrum.rank},
        widths={name: len(eigenvalues)},
    )


def picture_reconstructions(run: Run, model: Autoencoder, dataset: Dataset, n: int = PICTURED) -> None:
    """Draw test items beside their reconstructions: the first n images, or every column of the vectors."""
    draw_reconstructions(model, dataset.test.inputs[:n], run.figure_path("reconstructions"), column_names(run))


def draw_reconstructions(model: Autoencoder, items: NDArray[Any], path: Path, names: Sequence[str] = ()) -> None:
    """Draw items beside their reconstructions into a PNG file; `names` are those of the columns of vectors."""
    if model.spec.images:
        grids.plot_reconstructions(items, to_uint8(model.reconstruct(items)), path)
    else:
        first, second = (_in_rows(as_pictured(model, part)) for part in (items, model.reconstruct(items)))
        save(vectors.reconstructions_figure(first, second, names), path)


def picture_samples(run: Run, model: Autoencoder, sampler: str, items: NDArray[Any]) -> None:
    """Draw generated items in a grid (images) or as curves (vectors), as in the paper's tables 1 and 2."""
    path, shown = run.figure_path(f"samples-{sampler}"), as_pictured(model, items)
    if model.spec.images:
        grids.plot_grid(items, path)
    else:
        save(vectors.samples_figure(_in_rows(shown), column_names(run)), path)
    write_figure_items(shown, path)


def column_names(run: Run) -> tuple[str, ...]:
    """Return the names of the columns of a table that a run was trained on; none for other data."""
    return tuple(run.config["data"].get("columns", ()))


def as_pictured(model: Autoencoder, items: NDArray[Any]) -> NDArray[Any]:
    """Return items as a report shows them: images as uint8 of at most `SIDE` pixels, others in standardized units."""
    if not model.spec.images:
        shift, scale = (values.cpu().numpy() for values in (model.scaling.shift, model.scaling.scale))
        standardized: NDArray[np.float32] = ((np.asarray(items, dtype=np.float64) - shift) / scale).astype(np.float32)
        return standardized
    images = items if items.dtype == np.uint8 else to_uint8(items)
    height, width = images.shape[2:]
    factor = max(height, width) / SIDE
    if factor <= 1:
        return np.ascontiguousarray(images)
    size = max(1, math.floor(width / factor)), max(1, math.floor(height / factor))
    channels = np.ascontiguousarray(images).reshape(-1, height, width)
    small = [np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BOX)) for channel in channels]
    return np.stack(small).reshape(*images.shape[:2], size[1], size[0])


def _in_rows(items: NDArray[Any]) -> NDArray[Any]:
    """Return the values of each item in a row; a signal's channels follow each other."""
    return items.reshape(len(items), -1)


def drawn_pairs(items: NDArray[Any], count: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw two times `count` different items by `seed`, or as many pairs as the items allow."""
    order = np.random.default_rng(seed).permutation(len(items))[: 2 * min(count, len(items) // 2)]
    return items[order[::2]], items[order[1::2]]


def picture_interpolations(
    folder: Path,
    model: Autoencoder,
    firsts: NDArray[Any],
    seconds: NDArray[Any],
    origin: NDArray[Any],
    steps: int = STEPS,
    *,
    for_report: bool = True,
) -> dict[str, NDArray[Any]]:
    """Decode and draw paths between latents of pairs of images, straight and along a sphere about the latent `origin`.

    Each is drawn into `FOLDER/interpolation-NAME.png`. for_report: keep the images beside it, for a report
    Returns a dict: name of the path -> uint8 images (n, steps, c, h, w), ends included.
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
        target, flat = folder / f"interpolation-{name}.png", rows.reshape(-1, *rows.shape[2:])
        grids.plot_grid(flat, target, columns=steps + 2)
        if for_report:
            shown = as_pictured(model, flat)
            write_figure_items(shown.reshape(*rows.shape[:2], *shown.shape[1:]), target)
    return decoded
