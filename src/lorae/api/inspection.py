"""Measure and compare trained runs: spectra, reconstructions, evaluations, reports."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.api.finishing import add_figure_data, report
from lorae.api.loading import (
    as_run,
    check_argument,
    columns_of,
    dataset_of,
    given_items,
    kept_items,
    origin_of_argument,
)
from lorae.api.writing import into_run
from lorae.config.evaluation_settings import EvaluationSettings
from lorae.errors import LoraeError, LoraeWarning, MissingDataError, shell_command
from lorae.runs.run import Run
from lorae.system.faults import tolerated
from lorae.system.processes import session
from lorae.system.signals import Interrupted
from lorae.validation import interval, optional, real, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.features import Own
    from lorae.metrics.spectrum import Spectrum


def spectrum(
    run: "str | Path | Run", *, tolerance: float | None = None, data: "str | Path | NDArray[Any] | None" = None
) -> "Spectrum":
    """Return the spectrum of the latent covariance on the test split, and draw it into the run folder.

    The eigenvalues are those that were measured at the end of the training; they are measured anew if `data` is given.

    Parameters
    ----------
    run : str | Path | Run
        A finished run.
    tolerance : float, default=None
        Share of the largest eigenvalue above which an eigenvalue counts towards the rank; None takes 1e-3.
    data : str | Path | ndarray, default=None
        Where the data are now if they were moved, or the array of a run that was trained on one.

    Returns
    -------
    Spectrum
        With `eigenvalues`, float64 (latent_dim,), descending, and `rank`.

    Raises
    ------
    LoraeError
        If the run is not finished, its data changed, or the tolerance is not between 0 and 1.

    Examples
    --------
    >>> spectrum("runs/demo").rank   # doctest: +SKIP
    20
    """
    import numpy as np

    from lorae.evaluation.figures import measure_spectrum, picture_spectrum
    from lorae.metrics.spectrum import TOLERANCE, Spectrum

    tolerance = TOLERANCE if tolerance is None else tolerance
    tolerance = check_argument(real(0.0, 1.0, exclusive=True), "tolerance", tolerance)
    run = as_run(run)
    stored = run.evaluation().get("rank", {}) if run.finished and data is None else {}
    if {"eigenvalues", "n", "split"} <= stored.keys():
        values = np.asarray(stored["eigenvalues"], dtype=np.float64)
        result = Spectrum(values, stored["n"], stored["split"], tolerance)
    else:
        result = measure_spectrum(run.load_model(), dataset_of(run, data), tolerance)
    with tolerated("figures: the spectrum is not drawn"):
        picture_spectrum(run, result)
    return result


def reconstruct(
    run: "str | Path | Run",
    *,
    n: int | None = None,
    out: str | Path | None = None,
    data: Any = None,
) -> Path:
    """Draw items and their reconstructions: those of the test split, or given ones.

    Parameters
    ----------
    run : str | Path | Run
        A finished run.
    n : int, default=None
        Number of items, the first ones; None takes 32.
    out : str or Path, default=None
        The PNG file; None takes `RUN/figures/reconstructions.png`.
    data : object, default=None
        Items to reconstruct, which are prepared as those of the training: anything that `train` takes. None takes the
        test items of the run; if they are gone, the 32 that it keeps.

    Returns
    -------
    Path
        The PNG file.

    Raises
    ------
    LoraeError
        If the run is not finished, its data changed or are gone, or `n` is below 1.

    Examples
    --------
    >>> reconstruct("runs/demo", n=8)   # doctest: +SKIP
    PosixPath('runs/demo/figures/reconstructions.png')
    """
    from lorae.evaluation.figures import PICTURED, draw_reconstructions

    n = check_argument(whole(1), "n", PICTURED if n is None else n)
    run = as_run(run)
    model = run.load_model()
    try:
        items = dataset_of(run, None).test.inputs[:n] if data is None else given_items(run, model.spec.shape, data, n)
    except MissingDataError as missing:
        items = kept_items(run, model, missing)[:n]
    path = run.figure_path("reconstructions") if out is None else Path(out)
    with into_run():
        draw_reconstructions(model, items, path, columns_of(run))
    return path


def evaluate(
    run: "str | Path | Run",
    *,
    only: str | Iterable[str] | None = None,
    data: "str | Path | NDArray[Any] | None" = None,
    quiet: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Measure a run, write the results with their protocols to `evaluation.json`, and write its report anew.

    Parameters
    ----------
    run : str | Path | Run
        A finished run.
    only : str or iterable of str, default=None
        Names of measures, see `lorae evaluate --help`; a string has commas between them. None takes all that the data
        allow, but not `supervised`, which takes an hour.
    data : str | Path | ndarray, default=None
        Where the data are now if they were moved, or the array of a run that was trained on one.
    quiet : bool, default=False
        Show no progress bar.
    **settings
        Fields of `lorae.evaluation.EvaluationSettings`, as in `n=5000, samplers="gaussian"`.

    Returns
    -------
    dict
        The results by measure, those of earlier calls included: the content of `evaluation.json`. `skipped` has the
        reasons of measures that do not apply to the data or the model.

    Raises
    ------
    LoraeError
        If a setting does not fit the run, a measure is unknown, or no measure applies.

    Examples
    --------
    >>> evaluate("runs/demo", only="fid,rank")["fid"]["gaussian"]["value"]   # doctest: +SKIP
    18.3
    """
    from lorae.evaluation.evaluator import evaluate as measure

    run = as_run(run)
    asked = EvaluationSettings.from_values(settings, origin_of_argument)
    names = [name.strip() for name in only.split(",")] if isinstance(only, str) else only
    with session(asked.device) as processes:
        dataset = dataset_of(run, data)
        measure(run, run.load_model(), dataset, asked, only=names, quiet=quiet, processes=processes)
        if not processes.first:
            return {}
    try:
        report(run)
    except KeyboardInterrupt:
        command = shell_command("report", run.path)
        raise Interrupted(f"after the measurements, which are stored; write the report with `{command}`") from None
    return run.evaluation()


def compare(runs: "Sequence[str | Path | Run]", out: str | Path | None = None) -> list[dict[str, Any]]:
    """Collect the numbers of several runs, and write one page with their figures side by side.

    Parameters
    ----------
    runs : sequence of str, Path or Run
        At least two runs.
    out : str or Path, default=None
        The page; None takes `lorae-report.html` in the current folder.

    Returns
    -------
    list of dict
        For each run its path, data, method and penalties, and the measures that it has.

    Raises
    ------
    LoraeError
        For fewer than two runs.

    Warns
    -----
    LoraeWarning
        For each run that is not finished: its numbers are those of its last epoch.

    Examples
    --------
    >>> [row["test_mse"] for row in compare(["runs/ae", "runs/lorae"])]   # doctest: +SKIP
    [0.0052, 0.0056]
    """
    from lorae.reports.comparison import rows

    if len(runs) < 2:
        raise LoraeError(f"compare: got {len(runs)} run, expected at least 2")
    write_report(runs, out)
    opened = [as_run(run) for run in runs]
    for run in opened:
        if not run.finished:
            command = shell_command("resume", run.path)
            warnings.warn(f"{run.path} is not finished; continue it with `{command}`", LoraeWarning, stacklevel=2)
    return rows(opened)


def fid(
    first: Any,
    second: Any,
    *,
    features: "str | Own | None" = None,
    features_weights: str | None = None,
    size: int | None = None,
    value_range: tuple[float, float] | None = None,
    skip_bad: bool = False,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = False,
) -> dict[str, Any]:
    """Compute Frechet and kernel distances between two collections of images or vectors.

    Parameters
    ----------
    first, second : object
        Anything that `train` takes, or a split of a named data set such as `mnist:test`.
    features : str, torch module or function, default=None
        Network whose features are compared: `inception`, `dinov2`, `clip`, `lite0`, `digits`, `raw`, a torch module or
        a function of yours, or `FILE.py:NAME` of one; None takes `raw` for vectors, else `inception`. Yours maps a
        float32 tensor, images (n, c, h, w) in [0, 1] or vectors as they are, to a tensor or array (n, d).
    features_weights : str, default=None
        File with the weights of `inception`, or safetensors file with those of `dinov2` or `clip`; None takes the
        cache of torch or of the Hugging Face hub, else a download. No file is executed.
    size : int, default=None
        Side in pixels that all images are resized to first; None requires one size of all images.
    value_range : (float, float), default=None
        Values of black and white in both collections; None takes the range of their type (see docs/data.md).
    skip_bad : bool, default=False
        Leave out image files that cannot be decoded.
    seed : int, default=0
        Draws the subsets of the kernel distance.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Device of the feature network; `auto` takes a GPU if there is one.
    quiet : bool, default=False
        Show no progress bar.

    Returns
    -------
    dict
        `fid`, `kid` with mean and standard deviation over subsets, `cmmd` with its unbiased `value`, the numbers of
        items `n`, and the `protocol`. With `dinov2` the first is FD-DINOv2 (Stein et al., NeurIPS 2023,
        arXiv:2306.04675), with `clip` the last is CMMD (Jayasumana et al., CVPR 2024, arXiv:2401.09603).

    Raises
    ------
    LoraeError
        If a collection cannot be read, or the two have different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> first = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    >>> round(fid(first, first + 2, quiet=True)["fid"], 3)
    12.0
    """
    from lorae.evaluation.image_sets import compare_collections
    from lorae.system.hardware import choose_device

    size = check_argument(optional(whole(1)), "size", size)
    seed = check_argument(whole(0), "seed", seed)
    return compare_collections(
        first,
        second,
        features=features,
        features_weights=features_weights,
        size=size,
        value_range=check_argument(optional(interval()), "value_range", value_range),
        skip_bad=skip_bad,
        seed=seed,
        device=choose_device(device),
        quiet=quiet,
    )


def write_report(runs: "str | Path | Run | Sequence[str | Path | Run]", out: str | Path | None = None) -> Path:
    """Write one HTML page about one or several runs, which needs no other file.

    Parameters
    ----------
    runs : str | Path | Run | sequence of these
        Runs, finished or not.
    out : str or Path, default=None
        The page; None takes `RUN/report.html` for one run, else `lorae-report.html` in the current folder.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    LoraeError
        If a path is no run folder, a file in it is damaged, or the page cannot be written.

    Examples
    --------
    >>> write_report(["runs/ae", "runs/lorae"])   # doctest: +SKIP
    PosixPath('lorae-report.html')
    """
    from lorae.reports.report import write_report as write

    several = [as_run(run) for run in ([runs] if isinstance(runs, (str, Path, Run)) else runs)]
    for run in several:
        add_figure_data(run)
    with into_run():
        return write(several, out)
