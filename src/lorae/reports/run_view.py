"""Values of a run folder that its report shows."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorae.errors import LoraeError, shell_command
from lorae.metrics.ranks import visible
from lorae.reports.comparison import rows, shown_columns
from lorae.reports.formatting import count, number, plain
from lorae.reports.rank_selection import Choice, read_choice
from lorae.runs.figure_data import FigureDataFile
from lorae.runs.run import Run
from lorae.runs.trial import TrialOutcome, read_outcome


@dataclass(frozen=True)
class RunView:
    """The values of a run that its report shows.

    The folder is written as the user typed it. `config` and `evaluation` are the contents of the files, the latter
    empty before it is written, and `settings` to `spectrum` parts of them, empty where they lack it; `row` is the run's
    row of the comparison. `figure_data` has the arrays of its figures, `trial` the outcome if it is of a sweep. A run
    whose measuring was interrupted has an evaluation and is not `finished`.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    stats: list[dict[str, Any]]
    evaluation: dict[str, Any]
    finished: bool
    row: dict[str, Any]
    figure_data: FigureDataFile
    trial: TrialOutcome | None
    settings: dict[str, Any]
    data: dict[str, Any]
    truncated: dict[str, Any]
    machine: dict[str, Any]
    parameter_counts: dict[str, Any]
    reconstruction: dict[str, Any]
    spectrum: dict[str, Any]

    @property
    def items(self) -> str:
        """Name of the items: images, vectors or tensors."""
        return str(self.data.get("kind", "images"))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a table; none for other data."""
        return tuple(str(name) for name in self.data.get("columns") or ())

    @property
    def latent_dim(self) -> int | None:
        """Number of latent coordinates, after truncation if the run is truncated."""
        found: int | None = self.truncated.get("rank", self.settings.get("latent_dim"))
        return found

    @property
    def parameters(self) -> int | None:
        """Number of parameters once M is multiplied into the layer before it."""
        encoder, decoder = self.parameter_counts.get("encoder"), self.parameter_counts.get("decoder")
        return encoder + decoder if isinstance(encoder, int) and isinstance(decoder, int) else None

    @property
    def headline(self) -> str | None:
        """Sentence on the directions in use and the variance they explain; None before it is measured."""
        found = mapping(self.evaluation.get("explained"))
        if "model" not in found:
            return None
        return (
            f"{found['rank']} of {found['latent_dim']} directions used; explains {found['model']:.1%} of the variance "
            f"(PCA with {found['rank']}: {found['pca']:.1%})."
        )

    @property
    def choice(self) -> Choice | None:
        """The choice of the rank; None if the run did not choose one."""
        return read_choice(self.evaluation.get("schedule"))

    @property
    def tolerance(self) -> float:
        """Tolerance of the rank."""
        return float(self.spectrum.get("tolerance", 1e-3))

    @property
    def last(self) -> dict[str, Any]:
        """Last line of `stats.jsonl`; empty before there is one."""
        return self.stats[-1] if self.stats else {}

    @property
    def last_epoch(self) -> dict[str, Any]:
        """Statistics of the last complete epoch; empty before there is one."""
        return next((record for record in reversed(self.stats) if record.get("event") == "epoch"), {})

    @property
    def images_per_second(self) -> float | None:
        """Median speed of training, which a slow start does not change as it does the mean."""
        speeds = [record["images_per_second"] for record in self.stats if record.get("images_per_second")]
        return statistics.median(speeds) if speeds else None

    @property
    def origin(self) -> dict[str, Any]:
        """Facts that are needed to repeat the run, in addition to the command."""
        counts = {f"parameters, {part}": count(size) for part, size in self.parameter_counts.items()}
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
        """Protocols of test error and rank, by heading."""
        found = {"How the test MSE was measured": self.reconstruction, "How the rank was measured": self.spectrum}
        return {title: protocol for title, part in found.items() if (protocol := mapping(part.get("protocol")))}

    @property
    def further_protocols(self) -> dict[str, dict[str, Any]]:
        """Protocols of the measures of `lorae evaluate`, by measure."""
        found: dict[str, dict[str, Any]] = {}
        for measure, result in self.evaluation.items():
            if measure in ("reconstruction", "rank") or not isinstance(result, dict):
                continue
            for part, values in [(None, result), *result.items()]:
                protocol = values.get("protocol") if isinstance(values, dict) else None
                if isinstance(protocol, dict):
                    found[measure if part is None else f"{measure}, {part}"] = protocol
        return found

    @property
    def skipped(self) -> dict[str, str]:
        """Reasons of the measures that were left out, by measure."""
        return mapping(self.evaluation.get("skipped"))

    @property
    def measures(self) -> dict[str, str]:
        """Measures as text, by title."""
        return {column.title: column.show(self.row[column.key]) for column in shown_columns([self.row])}

    @property
    def remarks(self) -> str:
        """Further ranks of the spectrum, in sentences."""
        spectrum, sentences = self.spectrum, []
        if spectrum.get("energy_99") is not None:
            held = spectrum["energy_99"]
            words = "direction holds" if held == 1 else "directions hold"
            sentences.append(f"{count(held)} {words} 99 % of the variance.")
        without = [key for key in ("entropy_rank", "stable_rank") if spectrum.get(key) is not None]
        values = [f"{key.replace('_', ' ')} {number(spectrum[key])}" for key in without]
        if values:
            sentences.append(f"Ranks that need no tolerance: {', '.join(values)}.")
        if spectrum.get("n") is not None:
            split = f" of the {spectrum['split']} split" if spectrum.get("split") else ""
            sentences.append(f"Measured on {count(spectrum['n'])} {self.items}{split}.")
        seen, width = len(self.curve), len(spectrum.get("eigenvalues", ()))
        if seen < width:
            words = "the rank may be larger" if spectrum.get("rank", 0) >= seen else "the curve ends there"
            sentences.append(f"As many {self.items} span at most {seen} of the {width} directions: {words}.")
        return " ".join([*sentences, *self.rank_and_directions])

    @property
    def curve(self) -> list[float]:
        """Eigenvalues that the measured items determine."""
        return visible(self.spectrum.get("eigenvalues", []), self.spectrum.get("n"))

    @property
    def rank_and_directions(self) -> list[str]:
        """Sentences on numbers of directions of M that differ from the rank of the latents."""
        rank, directions = self.spectrum.get("rank"), mapping(self.spectrum.get("matrix_ranks")).get("1e-06")
        found: list[str] = []
        if rank is None:
            return found
        if self.choice is not None and not self.choice.is_path and self.choice.chosen != str(rank):
            found.append(
                f"The rank that was chosen, {self.choice.chosen}, is that of M; {count(rank)} of its directions hold "
                f"more than {self.tolerance:g} of the largest variance."
            )
        if directions is not None and directions != rank and not self.truncated:
            found.append(
                f"M has {directions} directions, some of which hold less variance: `lorae truncate` and `lorae export` "
                f"keep all of them, and with them every reconstruction, unless they are given `--rank {rank}`."
            )
        return found

    @property
    def subtitle(self) -> str:
        """Method, penalties and data in one line."""
        penalties = self.settings.get("penalties")
        parts = [self.settings.get("method"), penalties and plain(penalties), self.data.get("name")]
        return " · ".join(str(part) for part in parts if part)

    @property
    def resume_command(self) -> str:
        """Command that continues an unfinished run."""
        return shell_command("resume", self.folder)

    @property
    def reconstruct_command(self) -> str:
        """Command that draws reconstructions."""
        return shell_command("reconstruct", self.folder)

    @property
    def evaluate_command(self) -> str:
        """Command that measures the run, and draws what a run of an earlier version lacks."""
        return shell_command("evaluate", self.folder)


def read_run_view(run: Run, name: str) -> RunView:
    """Read a run folder; `name` is its name on the page."""
    config, evaluation = dict(run.config), run.evaluation()
    return RunView(
        name,
        run.path,
        config,
        list(run.stats()),
        evaluation,
        run.finished,
        rows([run])[0],
        run.figure_data,
        read_outcome(run.path),
        *(mapping(config.get(key)) for key in ("settings", "data", "truncated", "machine", "parameters")),
        *(mapping(evaluation.get(key)) for key in ("reconstruction", "rank")),
    )


def load_all(runs: Sequence[str | Path | Run]) -> list[RunView]:
    """Read run folders, each once, under the shortest names that are unique."""
    # A run given twice would only be compared with itself.
    once: dict[Path, Run] = {}
    for given in runs:
        run = given if isinstance(given, Run) else Run(given)
        once.setdefault(run.path.resolve(), run)
    if not once:
        raise LoraeError("no run given; expected at least one run folder")
    short = [folder.name for folder in once]
    return [
        read_run_view(run, folder.name if short.count(folder.name) == 1 else str(run.path))
        for folder, run in once.items()
    ]


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping as it is, and an empty one for any other value."""
    return value if isinstance(value, dict) else {}
