"""Estimates of known dimensions: from a job's configuration to a result."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae import api
from lorae.data import Dataset, render_shapes, sample_factors
from lorae.data.manifolds import build_manifold
from lorae.errors import MODEL_FAILURES
from lorae.evaluation.figures import measure_spectrum
from lorae.metrics.intrinsic_dimension import levina_bickel, two_nn
from lorae.metrics.ranks import energy_rank
from lorae.metrics.spectrum import latent_spectrum
from lorae.models.autoencoder import Autoencoder
from lorae.runs.run import Run
from lorae.training.trainer import Trainer

# A rank is large enough if its test error is at most this many times that of the largest rank. Seeds differ by less;
# a missing direction costs more, unless it has hardly any variance.
ERROR_FACTOR = 2.0

# Singular values of a float32 matrix below this share of the largest are rounding; as in `Autoencoder.truncate`.
ROUNDING = 1e-6

Result = dict[str, Any]


def measure(configuration: dict[str, Any]) -> Result:
    """Return the `estimate` of a job, None if training failed, and the numbers that it is read from."""
    array, settings = build_array(configuration["data"]), configuration["settings"]
    estimator = configuration["estimator"]
    if estimator["reads"] == "items":
        dataset = api.load_data(array, test_fraction=settings["test_fraction"])
        return {"estimate": ITEM_ESTIMATES[estimator["name"]](training_points(dataset))}
    try:
        return READINGS[estimator["reads"]](array, settings)
    except MODEL_FAILURES as error:
        return {"estimate": None, error.outcome: str(error).split(";")[0]}


def build_array(data: dict[str, Any]) -> NDArray[Any]:
    """Build the items of a configuration: vectors, float32 (n, ambient), or pictures, uint8 (n, 3, size, size).

    The seed decides the matrices of a manifold as well as its points, so that seeds differ in all that is random.
    """
    n, seed = data["n"], data["seed"]
    if "factors" in data:
        return render_shapes(sample_factors(data["factors"], n, seed), data["size"], channels=3)
    manifold = build_manifold(data["manifold"], data["dimension"], data["ambient"], seed=seed)
    return manifold.sample(n, noise=data["noise"], seed=seed)


def training_points(dataset: Dataset) -> NDArray[np.float64]:
    """Return the training items as rows, float64 (n, d)."""
    items = np.asarray(dataset.train.inputs, dtype=np.float64)
    return items.reshape(len(items), -1)


def pca_rank(points: NDArray[Any], share: float) -> int:
    """Return the number of principal components that explain a share of the variance of points (n, d)."""
    return energy_rank(latent_spectrum(points, "train").eigenvalues, share)


ITEM_ESTIMATES: dict[str, Callable[[NDArray[Any]], float]] = {
    "pca-95": lambda points: pca_rank(points, 0.95),
    "pca-99": lambda points: pca_rank(points, 0.99),
    "two-nn": two_nn,
    "mle": levina_bickel,
}


def fit(array: NDArray[Any], settings: dict[str, Any]) -> tuple[Autoencoder, Dataset]:
    """Train a model in a temporary folder, without reports and figures, which would take longer than a second."""
    with tempfile.TemporaryDirectory(prefix="lorae-") as folder:
        path = Path(folder) / "run"
        run = Run.create(path, api.plan(array, out=path, **settings))
        dataset = api.load_data(array, test_fraction=settings["test_fraction"])
        return Trainer(run, dataset, quiet=True).fit(), dataset


def read_latents(array: NDArray[Any], settings: dict[str, Any]) -> Result:
    """Estimate by the rank of the covariance of test latents: eigenvalues above 1e-3 of the largest."""
    model, dataset = fit(array, settings)
    spectrum = measure_spectrum(model, dataset)
    found = spectrum.to_json()
    return {"estimate": spectrum.rank, "ranks": found["ranks"], "test_mse": model.squared_error(dataset.test.inputs)}


def read_matrix(array: NDArray[Any], settings: dict[str, Any]) -> Result:
    """Estimate by the rank of M, whose other singular values are zero up to the rounding of float32."""
    model, dataset = fit(array, settings)
    return {"estimate": model.matrix_rank(ROUNDING), "test_mse": model.squared_error(dataset.test.inputs)}


def read_smallest(array: NDArray[Any], settings: dict[str, Any]) -> Result:
    """Estimate by the smallest rank whose test error is at most `ERROR_FACTOR` times that of the full latent."""
    errors: dict[int, float] = {}

    def error_at(rank: int) -> float:
        if rank not in errors:
            model, dataset = fit(array, settings | {"bottleneck": {"rank": rank}})
            errors[rank] = model.squared_error(dataset.test.inputs)
        return errors[rank]

    rank = smallest_rank(error_at, settings["latent_dim"])
    found = {str(tried): errors[tried] for tried in sorted(errors)}
    return {"estimate": rank, "test_mse": errors[rank], "errors": found}


def smallest_rank(error_at: Callable[[int], float], largest: int, factor: float = ERROR_FACTOR) -> int:
    """Return the smallest rank whose error, which must not rise with it, is at most `factor` times that of the largest.

    RRAE's adaptive algorithm (Mounayer et al., arXiv:2405.13980) lowers the rank of
    one model step by step, as long as its loss returns to that of the largest; here every tried rank is trained from
    scratch, with as many steps as all other methods.

    >>> smallest_rank(lambda rank: 1.0 if rank >= 5 else 9.0, 32)
    5
    """
    bound, low, high = factor * error_at(largest), 1, largest
    while low < high:
        middle = (low + high) // 2
        if error_at(middle) <= bound:
            high = middle
        else:
            low = middle + 1
    return high


READINGS: dict[str, Callable[[NDArray[Any], dict[str, Any]], Result]] = {
    "latents": read_latents,
    "matrix": read_matrix,
    "smallest": read_smallest,
}
