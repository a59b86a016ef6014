"""What a user asks of trained runs: spectra, samples, measures, comparisons, reports."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.api.loading import as_run, dataset_of, origin_of_argument
from lorae.config.evaluation_settings import SAMPLER_NAMES, EvaluationSettings
from lorae.config.methods import get_method
from lorae.errors import LoraeError
from lorae.runs.run import Run
from lorae.validation import choice, optional, real, whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from lorae.metrics.spectrum import Spectrum


def spectrum(
    run: "str | Path | Run", *, tolerance: float | None = None, data: "NDArray[Any] | None" = None
) -> "Spectrum":
    """Measure the spectrum of the latent covariance on the test split and draw its figure into the run folder.

    tolerance: an eigenvalue counts towards the rank above this share of the largest; 1e-3 by default.
    """
    from lorae.evaluation.figures import measure_spectrum, picture_spectrum
    from lorae.metrics.spectrum import TOLERANCE

    tolerance = real(0.0, 1.0, exclusive=True).check(
        "tolerance", TOLERANCE if tolerance is None else tolerance, "--tolerance"
    )
    run = as_run(run)
    result = measure_spectrum(run.load_model(), dataset_of(run, data), tolerance)
    picture_spectrum(run, result)
    return result


def reconstruct(run: "str | Path | Run", *, n: int | None = None, data: "NDArray[Any] | None" = None) -> Path:
    """Picture the first n test items beside their reconstructions; the path of the PNG in the run folder."""
    from lorae.evaluation.figures import PICTURED, picture_reconstructions

    n = whole(1).check("n", PICTURED if n is None else n, "-n")
    run = as_run(run)
    picture_reconstructions(run, run.load_model(), dataset_of(run, data), n)
    return run.figure_path("reconstructions")


def sample(
    run: "str | Path | Run",
    n: int = 64,
    *,
    sampler: str | None = None,
    out: str | Path | None = None,
    data: "NDArray[Any] | None" = None,
    **settings: Any,
) -> "NDArray[Any]":
    """Generate n items from a density on the latents: uint8 images (n, c, h, w), or vectors in their own units.

    The density is fitted once and kept in `RUN/samplers/`; the first 64 items are pictured in
    `RUN/figures/samples-SAMPLER.png`.

    Parameters
    ----------
    sampler: `gaussian`, `mixture` or `prior`; by default the prior for GANs, else the Gaussian.
    out: where all items go as well: an .npy or .npz file, or a new folder of PNG files.
    **settings: of `EvaluationSettings`: components, fit_on, seed, device.

    >>> images = sample("runs/demo", 64, sampler="mixture")   # doctest: +SKIP
    """
    from lorae.evaluation.context import PICTURED, draw_generator, fitted_density, on_device
    from lorae.evaluation.figures import picture_samples
    from lorae.plotting.images import as_items
    from lorae.system.hardware import choose_device

    n = whole(1).check("n", n, "-n")
    sampler = optional(choice(*SAMPLER_NAMES)).check("sampler", sampler, "--sampler")
    target = None if out is None else _new_collection(Path(out))
    run = as_run(run)
    sampler = sampler or default_sampler(run)
    asked = EvaluationSettings.from_values(settings, origin_of_argument)
    dataset = dataset_of(run, data)
    asked = dataclasses.replace(asked, samplers=(sampler,)).resolve(dataset.name, dataset.kind, run.settings.method)
    model = on_device(run.load_model(), choose_device(asked.device))
    split = dataset.train if asked.fit_on == "train" else dataset.test
    density = fitted_density(run, sampler, asked, model.spec.latent_dim, lambda: model.encode(split.inputs))
    items = as_items(model.decode(density.sample(n, draw_generator(asked.seed, 0))))
    picture_samples(run, sampler, items[:PICTURED])
    if target is not None:
        _save_collection(items, target)
    return items


def default_sampler(run: Run) -> str:
    """The sampler that a run of any method allows: the prior of a generator, else a Gaussian."""
    return "gaussian" if get_method(run.settings.method).encodes else "prior"


def interpolate(
    run: "str | Path | Run",
    *,
    pairs: int | Sequence[tuple[int, int]] | None = None,
    steps: int | None = None,
    seed: int = 0,
    data: "NDArray[Any] | None" = None,
) -> "dict[str, NDArray[np.uint8]]":
    """Decode the paths between the latents of pairs of test images, straight (`linear`) and along a sphere.

    pairs: how many, drawn by `seed` (6 by default, or as many as there are), or a list of indices of test images;
    steps: images on a path, ends included (10 by default). Result: name -> uint8 (pairs, steps, c, h, w). Draws
    `RUN/figures/interpolation-*.png`, with the true images at both ends of a row (the paper's figure 3).
    """
    import numpy as np

    from lorae.evaluation.figures import PAIRS, STEPS, drawn_pairs, picture_interpolations

    steps = whole(2).check("steps", STEPS if steps is None else steps, "--steps")
    run = as_run(run)
    dataset = dataset_of(run, data)
    if dataset.kind != "images":
        raise LoraeError(f"run: {str(run.path)!r} was trained on vectors; interpolations are pictured for images")
    if not get_method(run.settings.method).encodes:
        raise LoraeError(
            f"run: method {run.settings.method!r} only generates: it has no latents of images to go between"
        )
    items = dataset.test.inputs
    if isinstance(pairs, (list, tuple)):
        indices = np.array([[_index(index, len(items)) for index in pair] for pair in pairs]).reshape(-1, 2)
        firsts, seconds = items[indices[:, 0]], items[indices[:, 1]]
    else:
        most = len(items) // 2
        count = whole(1, most).check("pairs", min(PAIRS, most) if pairs is None else pairs, "--pairs")
        firsts, seconds = drawn_pairs(items, count, whole(0).check("seed", seed, "--seed"))
    model = run.load_model()
    origin = np.asarray(model.encode(items)).mean(axis=0)
    return picture_interpolations(run, model, firsts, seconds, origin, steps)


def evaluate(
    run: "str | Path | Run",
    *,
    only: str | Iterable[str] | None = None,
    data: "NDArray[Any] | None" = None,
    quiet: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Measure a run, write the results with their protocols to `evaluation.json`, and renew its report.

    Parameters
    ----------
    only: names of measures (see `lorae evaluate --help`), or one string with commas; None: all that the data allow,
        without `supervised`, which takes an hour.
    quiet: no progress bar.
    **settings: any field of `lorae.evaluation.EvaluationSettings`, as in `n=5000, samplers="gaussian"`.

    Returns what `evaluation.json` then holds. Raises LoraeError for a setting, a measure or weights that do not fit.

    >>> evaluate("runs/demo", only="fid,rank")["fid"]["gaussian"]["value"]   # doctest: +SKIP
    """
    from lorae.evaluation.evaluator import evaluate as measure

    run = as_run(run)
    asked = EvaluationSettings.from_values(settings, origin_of_argument)
    names = [name.strip() for name in only.split(",")] if isinstance(only, str) else only
    earlier = run.evaluation()
    results = measure(run, run.load_model(), dataset_of(run, data), asked, only=names, quiet=quiet)
    write_report(run)
    return earlier | results


def compare(runs: "Sequence[str | Path | Run]", out: str | Path | None = None) -> list[dict[str, Any]]:
    """The numbers of several runs in one table, a row a run, and one page with their figures side by side.

    out: the page; `lorae-report.html` by default. Raises LoraeError for fewer than two runs.
    """
    from lorae.reports.comparison import rows

    if len(runs) < 2:
        raise LoraeError(f"compare: got {len(runs)} run, expected at least 2")
    write_report(runs, out)
    return rows([as_run(run) for run in runs])


def fid(
    first: "str | Path | NDArray[Any]",
    second: "str | Path | NDArray[Any]",
    *,
    features: "str | nn.Module | None" = None,
    features_weights: str | None = None,
    size: int | None = None,
    skip_bad: bool = False,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
) -> dict[str, Any]:
    """The Frechet and kernel distances between two collections of images or vectors, with their protocol.

    Parameters
    ----------
    first, second: a folder or zip file of images, an .npy or .npz file, an array, or `mnist:test`.
    features: `inception` (the default for images), `lite0`, `digits`, `raw` (the default for vectors), `FILE.py:NAME`
        of a torch module, or the module itself.
    size: side in pixels that all images are resized to first; None: both collections must have one size.
    skip_bad: leave out image files that cannot be decoded.

    >>> fid("samples", "mnist:test", features="digits")["fid"]   # doctest: +SKIP
    """
    from lorae.evaluation.image_sets import compare_collections
    from lorae.system.hardware import choose_device

    size = optional(whole(1)).check("size", size, "--size")
    seed = whole(0).check("seed", seed, "--seed")
    return compare_collections(
        first,
        second,
        features=features,
        features_weights=features_weights,
        size=size,
        skip_bad=skip_bad,
        seed=seed,
        device=choose_device(device),
        quiet=quiet,
    )


def write_report(runs: "str | Path | Run | Sequence[str | Path | Run]", out: str | Path | None = None) -> Path:
    """Write one self-contained HTML page about a run (into its folder) or several (`lorae-report.html`)."""
    from lorae.reports.report import write_report as write

    several = [runs] if isinstance(runs, (str, Path, Run)) else list(runs)
    return write([run.path if isinstance(run, Run) else run for run in several], out)


def _index(value: Any, count: int) -> int:
    index: int = whole(0, count - 1).check("pairs", value, "--between")
    return index


def _new_collection(path: Path) -> Path:
    if path.exists():
        raise LoraeError(f"out: {str(path)!r} exists and is never overwritten; choose another --out")
    if path.suffix not in ("", ".npy", ".npz"):
        raise LoraeError(f"out: got {str(path)!r}, expected an .npy or .npz file, or a new folder")
    return path


def _save_collection(items: "NDArray[Any]", path: Path) -> None:
    import io

    import numpy as np
    from PIL import Image

    from lorae.system.files import write_atomically

    if path.suffix:
        content = io.BytesIO()
        if path.suffix == ".npy":
            np.save(content, items)
        else:
            np.savez_compressed(content, images=items)
        write_atomically(path, content.getvalue())
        return
    if items.ndim != 4:
        raise LoraeError(f"out: got the folder {str(path)!r}, but the items are vectors; expected an .npy or .npz file")
    path.mkdir(parents=True)
    for index, image in enumerate(items):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(pixels)).save(path / f"{index:06d}.png")
