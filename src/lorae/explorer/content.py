"""The items of a run with their codes, read once when the explorer starts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.api.finishing import KEPT, encoder_outputs
from lorae.api.loading import as_run, dataset_of
from lorae.data import Dataset, Split, even_rows
from lorae.errors import LoraeError, MissingDataError
from lorae.evaluation.context import draw_generator, on_device
from lorae.explorer.canonical import Array, CanonicalAxes
from lorae.models.autoencoder import Autoencoder
from lorae.runs.run import Run
from lorae.samplers import standard_normal
from lorae.system.hardware import choose_device

# Test items that can be chosen, at least, and fewer than twice as many: they are encoded at the start, in a second or
# two on two cores.
CHOSEN = 500
# Draws of a generator that can be chosen in the place of test items.
DRAWS = 64


@dataclass(frozen=True)
class Points:
    """Items with their codes (n, r), of which every `step`-th of a split is here.

    items: raw (n, ...), or None where they are not there and only decoded codes can be shown; labels (n,) or None
    """

    codes: Array
    items: NDArray[Any] | None = None
    labels: NDArray[np.int64] | None = None
    step: int = 1

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Content:
    """A trained model with its axes and the points that can be looked at.

    start: test items, or draws from the prior of a generator; train: training items, None for a generator
    notes: sentences on what is missing
    """

    run: Run
    model: Autoencoder
    axes: CanonicalAxes
    start: Points
    train: Points | None
    latents: NDArray[Any] | None  # of the training items, to which densities are fitted
    notes: list[str] = field(default_factory=list)

    @property
    def encodes(self) -> bool:
        """Whether the model has an encoder."""
        return self.model.spec.encodes

    @property
    def kind(self) -> str:
        """Kind of the items: `images`, `vectors` or `tensors`."""
        shape = self.model.spec.shape
        return "images" if self.model.spec.images else "vectors" if len(shape) == 1 else "tensors"


def read_content(run: "str | Path | Run", data: Any = None) -> Content:
    """Read a finished run with its data, or with what it keeps where they are gone.

    Raises LoraeError for a run that is not finished or has diverged, for data that have changed, and for a run of an
    earlier version, which keeps nothing, whose data are gone.
    """
    run = as_run(run)
    model = on_device(run.load_model(), choose_device("auto"))
    if not model.spec.encodes:
        return _generator(run, model)
    outputs, missing = run.encoder_outputs(model), None
    try:
        dataset = dataset_of(run, data)
    except MissingDataError as error:
        dataset, missing = None, error
    if outputs is None and dataset is None:
        assert missing is not None
        raise missing
    if dataset is not None and (outputs is None or len(outputs) != len(_training_part(dataset))):
        outputs = encoder_outputs(model, dataset)
    assert outputs is not None
    latents = model.latents_of(outputs)
    if len(latents) < 2:
        raise LoraeError(f"run: got {len(latents)} training item, expected at least 2 for axes of the latent")
    axes = CanonicalAxes.of_latents(latents)
    codes = axes.codes(latents)
    if dataset is not None:
        part = _training_part(dataset)
        train = Points(codes, part.inputs, part.labels, even_rows(len(dataset.train), KEPT).step)
        rows = even_rows(len(dataset.test), CHOSEN)
        test = dataset.test.at(rows)
        start = Points(axes.codes(model.encode(test.inputs)), test.inputs, test.labels, rows.step)
        return Content(run, model, axes, start, train, latents)
    kept = run.reference_items(model)
    train = Points(codes)
    start = train if kept is None else Points(axes.codes(model.encode(kept)), kept)
    return Content(run, model, axes, start, train, latents, [_missing_words(len(codes), kept)])


def _training_part(dataset: Dataset) -> Split:
    """Return the training items whose encoder outputs a run keeps."""
    return dataset.train.at(even_rows(len(dataset.train), KEPT))


def _missing_words(count: int, kept: NDArray[Any] | None) -> str:
    items = "no test items are kept" if kept is None else f"the test items are the {len(kept)} that the run keeps"
    return (
        f"The data of this run are no longer there: {items}, training items are decoded from the {count:,} latents "
        "that it keeps, and labels are not known. If the data were moved, start the explorer with --data PATH."
    )


def _generator(run: Run, model: Autoencoder) -> Content:
    width = model.spec.latent_dim
    axes = CanonicalAxes.of_prior(width)
    start = Points(axes.codes(standard_normal(width).sample(DRAWS, draw_generator(0, 0))))
    note = (
        f"The method {run.settings.method} only generates: it has no encoder, so that items have no codes. Axes are "
        "the coordinates of its latent, and draws from its prior stand in the place of test items."
    )
    return Content(run, model, axes, start, None, None, [note])
