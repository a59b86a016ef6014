"""Generate items with trained runs: samples and interpolations."""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.api.loading import as_run, check_argument, dataset_of, kept_items, origin_of_argument
from lorae.api.writing import check_out, into_run, write_items
from lorae.config.evaluation_settings import SAMPLER_NAMES, EvaluationSettings
from lorae.config.methods import get_method
from lorae.errors import LoraeError, LoraeWarning, MissingDataError
from lorae.runs.run import Run
from lorae.system.faults import tolerated
from lorae.validation import choice, optional, whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lorae.models.autoencoder import Autoencoder


def sample(
    run: "str | Path | Run",
    n: int = 64,
    *,
    sampler: str | None = None,
    out: str | Path | None = None,
    data: "str | Path | NDArray[Any] | None" = None,
    **settings: Any,
) -> "NDArray[Any]":
    """Draw latents from a density fitted to those of a run, and decode them.

    The density is fitted once and kept in `RUN/samplers/`, after which the data are not needed; if they are gone before
    that, it is fitted to the 10,000 latents that the run keeps, with a warning. The first 64 items are drawn into
    `RUN/figures/samples-SAMPLER.png`.

    Parameters
    ----------
    run : str | Path | Run
        A finished run.
    n : int, default=64
        Number of items.
    sampler : {"gaussian", "mixture", "prior"}, default=None
        The density; None takes the prior for GANs, else the Gaussian.
    out : str or Path, default=None
        New .npy or .npz file, new folder of PNG files, or for vectors new .csv file, that all items are written to as
        well.
    data : str | Path | ndarray, default=None
        Where the data are now if they were moved, or the array of a run that was trained on one.
    **settings
        `components`, `fit_on`, `seed` and `device` of `lorae.evaluation.EvaluationSettings`.

    Returns
    -------
    ndarray
        Images, uint8 (n, c, h, w), or vectors in their own units, (n, d).

    Raises
    ------
    LoraeError
        If a setting does not fit the run, or `out` exists.

    Examples
    --------
    >>> sample("runs/demo", 100, sampler="mixture").shape   # doctest: +SKIP
    (100, 1, 32, 32)
    """
    from lorae.evaluation.context import PICTURED, draw_generator, fitted_density, measured, on_device
    from lorae.evaluation.figures import picture_samples
    from lorae.plotting.images import as_items
    from lorae.samplers import fit_density
    from lorae.system.hardware import choose_device

    n = check_argument(whole(1), "n", n)
    sampler = check_argument(optional(choice(*SAMPLER_NAMES)), "sampler", sampler)
    target = check_out(out, pictures=True)
    run = as_run(run)
    sampler = sampler or default_sampler(run)
    asked = EvaluationSettings.from_values(settings, origin_of_argument)
    model = on_device(run.load_model(), choose_device(asked.device))
    _refuse_beyond_memory(n, model)
    kind = "images" if model.spec.images else "vectors"
    name = str(run.fact("data", "name"))
    asked = dataclasses.replace(asked, samplers=(sampler,)).resolve(name, kind, run.settings.method)

    def latents() -> "NDArray[Any]":
        dataset = dataset_of(run, data)
        part = measured(dataset.train if asked.fit_on == "train" else dataset.test, model.spec.latent_dim)
        return model.encode(part.inputs)

    try:
        density = fitted_density(run, sampler, asked, model.spec.latent_dim, latents)
    except MissingDataError:
        outputs = run.encoder_outputs(model)
        if outputs is None or asked.fit_on != "train":
            raise
        assert asked.components is not None
        density = fit_density(sampler, model.latents_of(outputs), components=asked.components, seed=asked.seed)
        warnings.warn(
            f"data: they are not there, so the density is fitted to the latents of the {len(outputs):,} training items "
            "whose encoder outputs are kept with the run",
            LoraeWarning,
            stacklevel=2,
        )
    items = as_items(model.decode(density.sample(n, draw_generator(asked.seed, 0))), images=model.spec.images)
    if target is not None:
        write_items(items, target)
    with into_run() if target is None else tolerated("figures: the samples are not drawn"):
        picture_samples(run, model, sampler, items[:PICTURED])
    return items


def _refuse_beyond_memory(n: int, model: "Autoencoder") -> None:
    """Refuse a number of items that do not fit in memory together with their latents."""
    from lorae.system.hardware import memory

    # Latents in float64, items as parts and as one array in float32.
    needed = 8 * n * (model.spec.latent_dim + math.prod(model.spec.shape))
    available = memory()
    if available is not None and needed > available:
        raise LoraeError(
            f"n: got {n}, which needs {needed / 2**30:,.0f} GiB of the {available / 2**30:,.0f} GiB of memory; draw "
            "fewer at a time, each time with another seed",
            argument="n",
        )


def default_sampler(run: Run) -> str:
    """Return the sampler that the method of a run allows: the prior for a generator, else a Gaussian."""
    return "gaussian" if get_method(run.settings.method).encodes else "prior"


def interpolate(
    run: "str | Path | Run",
    *,
    pairs: int | Sequence[tuple[int, int]] | None = None,
    steps: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    data: "str | Path | NDArray[Any] | None" = None,
) -> "dict[str, NDArray[np.uint8]]":
    """Decode paths between the latents of pairs of test images, and draw them into the run folder.

    In `RUN/figures/interpolation-*.png` the true images are at both ends of a row, as in figure 3 of the paper. If the
    data are gone, the images are the first 32 test images, which are kept with the run, with a warning.

    Parameters
    ----------
    run : str | Path | Run
        A finished run on images, of a method with an encoder.
    pairs : int or sequence of (int, int), default=None
        Number of pairs, which are drawn at random, or indices of test images; None draws 6, or as many as there are.
    steps : int, default=None
        Number of images on a path, both ends included; None takes 10.
    seed : int, default=0
        Draws the pairs.
    out : str or Path, default=None
        New folder for the figures; None takes `RUN/figures`.
    data : str | Path | ndarray, default=None
        Where the data are now if they were moved, or the array of a run that was trained on one.

    Returns
    -------
    dict of str to ndarray
        The paths `linear` and `spherical`, uint8 (pairs, steps, c, h, w).

    Raises
    ------
    LoraeError
        If the run has no images or no encoder, an argument is out of range, or `out` exists.

    Examples
    --------
    >>> interpolate("runs/demo", pairs=[(0, 7)])["linear"].shape   # doctest: +SKIP
    (1, 10, 1, 32, 32)
    """
    import numpy as np

    from lorae.evaluation.figures import PAIRS, STEPS, drawn_pairs, picture_interpolations

    steps = check_argument(whole(2), "steps", STEPS if steps is None else steps)
    run = as_run(run)
    if out is not None:
        Run.refuse_existing(out)
    model = run.load_model()
    if not model.spec.images:
        raise LoraeError(f"run: {str(run.path)!r} was trained on no images; interpolations are pictured for images")
    if not model.spec.encodes:
        raise LoraeError(f"run: method {run.settings.method!r} only generates: it has no encoder for images of a pair")
    try:
        items = dataset_of(run, data).test.inputs
        latents = model.encode(items)
    except MissingDataError as missing:
        outputs = run.encoder_outputs(model)
        if outputs is None:
            raise
        items, latents = kept_items(run, model, missing), model.latents_of(outputs)
    if isinstance(pairs, (list, tuple)):
        index = whole(0, len(items) - 1)
        indices = np.array([[check_argument(index, "pairs", end) for end in pair] for pair in pairs]).reshape(-1, 2)
        firsts, seconds = items[indices[:, 0]], items[indices[:, 1]]
    else:
        most = len(items) // 2
        count = check_argument(whole(1, most), "pairs", min(PAIRS, most) if pairs is None else pairs)
        firsts, seconds = drawn_pairs(items, count, check_argument(whole(0), "seed", seed))
    with into_run():
        folder = run.figures if out is None else Path(out)
        origin = latents.mean(axis=0)
        return picture_interpolations(folder, model, firsts, seconds, origin, steps, for_report=out is None)
