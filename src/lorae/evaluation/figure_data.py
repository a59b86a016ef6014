"""Arrays for the figures of a report: reconstructions, errors of single items, codes and traversals."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.data import Dataset, Split, subsample_evenly
from lorae.evaluation.figures import PICTURED, as_pictured
from lorae.isolation import isolated
from lorae.metrics.spectrum import TOLERANCE
from lorae.models.autoencoder import Autoencoder
from lorae.models.truncation import axes_of_latents
from lorae.runs.figure_data import FigureData

# Items with the largest and with the smallest error: one row of eight each.
EXTREMES = 8
# Errors of a histogram. More would change no bar, and on a CPU take as long as an epoch.
ERRORS = 10_000
# Points of a scatter plot. More would cover each other, and each costs the page 50 bytes.
POINTS = 1_000
# Axes and steps of the traversals: eight images a row, up to two standard deviations from the mean, where a Gaussian
# has 95% of its mass.
AXES, STEPS, REACH = 6, 8, 2.0


@isolated()
def figure_data(
    model: Autoencoder,
    test: Split | NDArray[Any] | None,
    outputs: NDArray[Any] | None,
    errors: NDArray[np.float64] | None = None,
) -> FigureData:
    """Compute the arrays for the figures of a report.

    Parameters
    ----------
    model : Autoencoder
        With an encoder.
    test : Split, array of shape (n, ...) or None
        The test split, or a few test items where the data are gone, or None for none.
    outputs : array of shape (n, input_dim) or None
        Outputs of the encoder on training items, of which the principal axes are computed; None takes test items.
    errors : array of shape (n,), default=None
        Errors of the items of a test split, if they are known.
    """
    parts: dict[str, Any] = {}
    items = test.inputs if isinstance(test, Split) else test
    if items is not None and len(items):
        parts |= _reconstructed(model, items[:PICTURED]) | _errors(model, items, errors)
    if outputs is None and items is not None:
        outputs = model.encoder_outputs(subsample_evenly(items, ERRORS))
    if outputs is not None and len(outputs) > 1:
        parts |= _axes(model, outputs, test if isinstance(test, Split) else None)
    return FigureData(**parts)


def figure_data_of_training(
    model: Autoencoder, dataset: Dataset, outputs: NDArray[Any] | None, errors: NDArray[np.float64] | None = None
) -> FigureData:
    """Compute the arrays for a run whose data are there."""
    if outputs is None:
        outputs = model.encoder_outputs(subsample_evenly(dataset.train.inputs, ERRORS))
    return figure_data(model, dataset.test, outputs, errors)


def _reconstructed(model: Autoencoder, items: NDArray[Any]) -> dict[str, Any]:
    made = model.reconstruct(items)
    if not np.isfinite(made).all():  # the model has diverged
        return {}
    return {"originals": as_pictured(model, items), "reconstructions": as_pictured(model, made)}


def _errors(model: Autoencoder, items: NDArray[Any], errors: NDArray[np.float64] | None) -> dict[str, Any]:
    """Return errors of single items, and the items with the largest and the smallest; of finite errors only."""
    if errors is None:
        items = subsample_evenly(items, ERRORS)
        errors = model.squared_errors(items)
    finite = np.flatnonzero(np.isfinite(errors))
    if len(finite) == 0:
        return {}
    order = finite[np.argsort(errors[finite], kind="stable")]
    found: dict[str, Any] = {"errors": subsample_evenly(errors[finite], ERRORS).astype(np.float32)}
    for name, rows in (("worst", order[::-1]), ("best", order)):
        # Of few items, none is both.
        rows = rows[: min(EXTREMES, max(1, len(order) // 2))]
        chosen = np.asarray(items[np.sort(rows)])[np.argsort(np.argsort(rows))]  # a memory map is read in order
        pairs = np.stack([as_pictured(model, chosen), as_pictured(model, model.reconstruct(chosen))], axis=1)
        found |= {name: pairs, f"{name}_errors": errors[rows].astype(np.float32)}
    return found


def _axes(model: Autoencoder, outputs: NDArray[Any], test: Split | None) -> dict[str, Any]:
    """Return codes along the principal axes of latents, and items decoded along them.

    The axes are those of `Autoencoder.truncate`, with the same signs, wherever the latents vary.
    """
    latents = np.asarray(model.latents_of(outputs), dtype=np.float64)
    if not np.isfinite(latents).all():
        return {}
    found = axes_of_latents(latents)
    mean, axes, variances = found.mean.numpy(), found.axes.numpy(), found.deviations.square().numpy()
    kept = min(AXES, int((variances > TOLERANCE * variances[0]).sum()) if variances[0] > 0 else 0)
    if kept == 0:
        return {}
    shown, labels = subsample_evenly(latents, POINTS), None
    if test is not None:
        few = subsample_evenly(test.inputs, POINTS)
        shown = np.asarray(model.encode(few), dtype=np.float64)
        labels = None if test.labels is None else subsample_evenly(test.labels, POINTS)
    parts: dict[str, Any] = {"labels": labels, "shares": (variances[:kept] / variances.sum()).astype(np.float32)}
    codes = ((shown - mean) @ axes[:, :2]).astype(np.float32)
    if np.isfinite(codes).all():
        of_test = np.array([int(test is not None)], dtype=np.int64)
        parts |= {"codes": codes, "codes_of_test": of_test}
    positions = np.linspace(-REACH, REACH, STEPS)
    steps = positions[None, :, None] * (np.sqrt(variances[:kept])[:, None] * axes[:, :kept].T)[:, None, :]
    decoded = np.asarray(model.decode((mean + steps).reshape(-1, len(mean)).astype(np.float32)))
    if np.isfinite(decoded).all():
        items = as_pictured(model, decoded)
        parts |= {
            "positions": positions.astype(np.float32),
            "traversals": items.reshape(kept, STEPS, *items.shape[1:]),
        }
    return parts
