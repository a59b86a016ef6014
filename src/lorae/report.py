"""The report of one or several runs: a single HTML page that needs no network and no JavaScript."""

import json
import shlex
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorae.choice import Choice, read_choice
from lorae.comparison import marked_cells, one_protocol, rows, shown_columns
from lorae.errors import LoraeError
from lorae.files import write_atomically
from lorae.html import data_uri, environment
from lorae.plots import format_tolerance, plot_curves, plot_rank_error, plot_spectrum
from lorae.runs import Run
from lorae.words import count, duration, number, plain

# What is said of the figures that commands draw into a run folder; any other is shown under its own name.
CAPTIONS = {
    "samples-gaussian": (
        "Samples from a Gaussian",
        "Latents drawn from one Gaussian fitted to those of the training data, decoded.",
    ),
    "samples-mixture": (
        "Samples from a mixture",
        "Latents drawn from a mixture of Gaussians fitted to those of the training data, decoded.",
    ),
    "samples-prior": ("Samples from the prior", "Latents drawn from the standard normal, decoded."),
    "interpolation-linear": (
        "Interpolation, straight",
        "Each row runs from one test image (far left) to another (far right); between them, decoded latents on the "
        "straight line from the one's to the other's.",
    ),
    "interpolation-spherical": (
        "Interpolation, along a sphere",
        "The same pairs, with latents on the great circle about the mean of all latents.",
    ),
}


@dataclass(frozen=True)
class Figure:
    """A picture of a run as the page shows it; `source` is a data URI."""

    key: str
    title: str
    caption: str
    source: str


@dataclass(frozen=True)
class Section:
    """A run as the page shows it.

    `folder` is the path as the user gave it, `name` how the page calls the run.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    stats: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    row: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the run."""
        return _mapping(self.config.get("settings"))

    @property
    def data(self) -> dict[str, Any]:
        """The description of the data set."""
        return _mapping(self.config.get("data"))

    @property
    def items(self) -> str:
        """What one element of the data is called: images, or vectors where the shape has a single number."""
        shape = self.data.get("shape")
        return "vectors" if isinstance(shape, list) and len(shape) == 1 else "images"

    @property
    def latent_dim(self) -> int | None:
        """The width of the latent: of a truncated run what is left, else that of the settings."""
        found: int | None = self.truncated.get("rank", self.settings.get("latent_dim"))
        return found

    @property
    def truncated(self) -> dict[str, Any]:
        """What the run was cut from and to which rank; empty for a run that was trained."""
        return _mapping(self.config.get("truncated"))

    @property
    def parameters(self) -> int | None:
        """The number of parameters once the linear layer has been multiplied into its neighbour."""
        counts = _mapping(self.config.get("parameters"))
        encoder, decoder = counts.get("encoder"), counts.get("decoder")
        return encoder + decoder if isinstance(encoder, int) and isinstance(decoder, int) else None

    @property
    def finished(self) -> bool:
        """Whether training ended and the run was evaluated."""
        return self.evaluation is not None

    @property
    def reconstruction(self) -> dict[str, Any]:
        """The evaluation of the reconstructions; empty before there is one."""
        return _mapping((self.evaluation or {}).get("reconstruction"))

    @property
    def spectrum(self) -> dict[str, Any]:
        """The evaluation of the rank with its eigenvalues; empty before there is one."""
        return _mapping((self.evaluation or {}).get("rank"))

    @property
    def choice(self) -> Choice | None:
        """What was tried on the way to the rank, where the run looked for one."""
        return read_choice((self.evaluation or {}).get("course"))

    @property
    def tolerance(self) -> float:
        """The tolerance at which the rank was counted."""
        return float(self.spectrum.get("tolerance", 1e-3))

    @property
    def last(self) -> dict[str, Any]:
        """The last line of stats.jsonl; empty before there is one."""
        return self.stats[-1] if self.stats else {}

    @property
    def last_epoch(self) -> dict[str, Any]:
        """The record of the last whole epoch; empty before there is one."""
        return next((record for record in reversed(self.stats) if record.get("event") == "epoch"), {})

    @property
    def images_per_second(self) -> float | None:
        """The median speed of training: unlike the mean it is not moved by a slow start."""
        speeds = [record["images_per_second"] for record in self.stats if record.get("images_per_second")]
        return statistics.median(speeds) if speeds else None

    @property
    def machine(self) -> dict[str, Any]:
        """What the run was trained on."""
        return _mapping(self.config.get("machine"))

    @property
    def origin(self) -> dict[str, Any]:
        """What one needs to know, beside the command, to make the run again."""
        parts = _mapping(self.config.get("parameters"))
        counts = {f"parameters, {part}": count(size) for part, size in parts.items()}
        words = "from {from}, {latent_dim} to {rank} latent coordinates"
        return {
            "lorae version": self.config.get("version"),
            "created": self.config.get("created"),
            **({"truncated": words.format(**self.truncated)} if self.truncated else {}),
            **{f"machine, {key}": value for key, value in self.machine.items()},
            **counts,
            "parameters, once collapsed": count(self.parameters),
        }

    @property
    def protocols(self) -> dict[str, dict[str, Any]]:
        """How the evaluation was made, by heading."""
        found = {
            "How the test MSE was measured": self.reconstruction.get("protocol"),
            "How the rank was measured": self.spectrum.get("protocol"),
        }
        return {title: protocol for title, protocol in found.items() if isinstance(protocol, dict) and protocol}

    @property
    def further_protocols(self) -> dict[str, dict[str, Any]]:
        """How the measures of `lorae evaluate` were taken, by what was measured."""
        found: dict[str, dict[str, Any]] = {}
        for measure, result in (self.evaluation or {}).items():
            if measure in ("reconstruction", "rank") or not isinstance(result, dict):
                continue
            for part, values in [(None, result), *result.items()]:
                protocol = values.get("protocol") if isinstance(values, dict) else None
                if isinstance(protocol, dict):
                    found[measure if part is None else f"{measure}, {part}"] = protocol
        return found

    @property
    def measures(self) -> dict[str, str]:
        """The numbers of the evaluation that have no heading of their own, as text, by title."""
        return {column.title: column.show(self.row[column.key]) for column in shown_columns([self.row])}

    @property
    def remarks(self) -> str:
        """What else was measured on the spectrum, in sentences."""
        spectrum, sentences = self.spectrum, []
        if spectrum.get("energy_99") is not None:
            sentences.append(f"{count(spectrum['energy_99'])} directions hold 99 % of the variance.")
        without = [("entropy rank", "entropy_rank"), ("stable rank", "stable_rank")]
        values = [f"{words} {number(spectrum[key])}" for words, key in without if spectrum.get(key) is not None]
        if values:
            sentences.append(f"Ranks that need no tolerance: {', '.join(values)}.")
        if spectrum.get("n") is not None:
            split = f" of the {spectrum['split']} split" if spectrum.get("split") else ""
            sentences.append(f"Measured on {count(spectrum['n'])} {self.items}{split}.")
        return " ".join(sentences)

    @property
    def subtitle(self) -> str:
        """The run in one line: method, penalties, data."""
        penalties = self.settings.get("penalties")
        parts = [self.settings.get("method"), penalties and plain(penalties), self.data.get("name")]
        return " · ".join(str(part) for part in parts if part)

    @property
    def shell_path(self) -> str:
        """The folder as it is typed in a shell."""
        return shlex.quote(str(self.folder))


def write_report(runs: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write one HTML page about the runs and return its path.

    One run goes to RUN/report.html, several to lorae-report.html in the current folder, unless `out` says
    otherwise. The plots made for it are kept in each RUN/figures as well. Raises LoraeError for no run, a
    path that is no run folder, a broken file in one, and a place that cannot be written.
    """
    loaded = _load_all(runs)
    if out is not None:
        target = Path(out)
    elif len(loaded) == 1:
        target = loaded[0].folder / "report.html"
    else:
        target = Path("lorae-report.html")
    figures = [_figures(run) for run in loaded]
    several = len(loaded) > 1
    page = _template().render(
        runs=loaded,
        figures=figures,
        overlay=_overlay(loaded) if several else None,
        side_by_side=_side_by_side(loaded, figures) if several else [],
        comparison=_comparison(loaded) if several else None,
        same_data=len({json.dumps(run.data.get("fingerprint")) for run in loaded}) == 1,
        tolerances=sorted({run.tolerance for run in loaded if run.spectrum}),
    )
    write_atomically(target, page.encode())
    return target


def _section(folder: Path, name: str) -> Section:
    run = Run(folder)
    return Section(name, folder, run.config, list(run.stats()), run.evaluation() or None, rows([run])[0])


def _load_all(runs: Sequence[str | Path]) -> list[Section]:
    # A run given twice would only be compared with itself.
    once: dict[Path, Path] = {}
    for run in runs:
        once.setdefault(Path(run).resolve(), Path(run))
    folders = list(once.values())
    if not folders:
        raise LoraeError("no run given; expected at least one run folder")
    short = [folder.resolve().name for folder in folders]
    return [
        _section(folder, name if short.count(name) == 1 else str(folder))
        for folder, name in zip(folders, short, strict=True)
    ]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _figures(run: Section) -> dict[str, Any]:
    """The images of one run as data URIs; the ones that the report draws are kept in the run folder."""
    folder = run.folder / "figures"
    images: dict[str, Any] = {"spectrum": None, "ranks": None, "curves": None, "reconstructions": None}
    if run.spectrum.get("eigenvalues"):
        path = plot_spectrum(
            {run.name: run.spectrum["eigenvalues"]},
            folder / "spectrum.png",
            tolerance=run.tolerance,
            ranks={run.name: run.spectrum["rank"]},
        )
        images["spectrum"] = data_uri(path)
    if run.choice is not None:
        chosen, bound = run.choice.chosen, run.choice.bound
        images["ranks"] = data_uri(plot_rank_error(run.choice.points, folder / "ranks.png", marked=chosen, bound=bound))
    if run.stats:
        images["curves"] = data_uri(plot_curves(run.stats, folder / "curves.png"))
    drawn = {path.stem: path for path in sorted(folder.glob("*.png"))}
    if "reconstructions" in drawn:
        images["reconstructions"] = data_uri(drawn["reconstructions"])
    known = [key for key in CAPTIONS if key in drawn]
    others = [key for key in drawn if key not in CAPTIONS and key not in images]
    images["more"] = [_figure(key, drawn[key]) for key in known + others]
    return images


def _figure(key: str, path: Path) -> Figure:
    named = key.replace("_", " ").replace("-", " ").capitalize()
    title, caption = CAPTIONS.get(key, (named, "From the run's folder figures."))
    return Figure(key, title, caption, data_uri(path))


def _side_by_side(
    runs: Sequence[Section], figures: Sequence[dict[str, Any]]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each kind of picture that several runs have: its title, and name and picture of each of these runs."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for run, images in zip(runs, figures, strict=True):
        for figure in images["more"]:
            found.setdefault(figure.key, (figure.title, []))[1].append((run.name, figure.source))
    return [shown for shown in found.values() if len(shown[1]) > 1]


def _comparison(runs: Sequence[Section]) -> dict[str, Any]:
    """The table of measures: a row a measure, a column a run, the best of each row marked."""
    table = [run.row for run in runs]
    return {
        "rows": [(column.title, marked_cells(table, column)) for column in shown_columns(table)],
        "one_protocol": one_protocol(table),
    }


def _overlay(runs: Sequence[Section]) -> str | None:
    """The spectra of all runs in one plot, as a data URI."""
    drawn = [run for run in runs if run.spectrum.get("eigenvalues")]
    if not drawn:
        return None
    # Ranks counted at different tolerances cannot share one dashed line: then all are counted anew at one.
    shared = len({run.tolerance for run in drawn}) == 1
    with tempfile.TemporaryDirectory() as folder:
        path = plot_spectrum(
            {run.name: run.spectrum["eigenvalues"] for run in drawn},
            Path(folder) / "spectra.png",
            tolerance=drawn[0].tolerance,
            ranks={run.name: run.spectrum["rank"] for run in drawn} if shared else None,
        )
        return data_uri(path)


def _template() -> Any:
    templates = environment()
    templates.filters.update(
        tolerance=lambda value: format_tolerance(float(value)),
        number=number,
        count=count,
        duration=duration,
        plain=plain,
    )
    return templates.get_template("report.html")
