"""Commands that a report proposes, each with the folder of its run, and sections to read. Imports no torch."""

from dataclasses import dataclass

from lorae.config.settings import ARRAY, MODULES
from lorae.documentation import EXPLAINED_VARIANCE, IMAGE_DISTANCES, RANK, USE_OF_RANK
from lorae.errors import shell_command
from lorae.reports.run_view import RunView, mapping

# Sections of the documentation on the numbers of a report.
SECTIONS = {
    "explained variance": EXPLAINED_VARIANCE,
    "rank": RANK,
    "use of the rank": USE_OF_RANK,
    "distances between images": IMAGE_DISTANCES,
}


@dataclass(frozen=True)
class Step:
    """A command to copy, and a phrase on its result."""

    meaning: str
    command: str


def next_steps(run: RunView) -> list[Step]:
    """Return the commands that apply to a run and have not been given yet, in the order in which most users need them.

    They are of the command line, or Python for a run that it cannot open: on an array, or with networks of modules.
    """
    if not run.finished:
        return [
            Step("Continue from the last checkpoint", shell_command("resume", run.folder)),
            Step("Write this page anew", shell_command("report", run.folder)),
        ]
    if run.settings.get("network") == MODULES:
        opened = f"lorae.load({str(run.folder)!r}, encoder=encoder, decoder=decoder)"
        return [Step("Open the model with modules of the same structure", f"model = {opened}")]
    steps, encodes = [], bool(run.spectrum)
    if not mapping(run.evaluation.get("fid")):
        words = "Measure samples and latents by all that the data allow"
        if run.settings.get("data") == ARRAY:
            steps.append(Step(words, f"lorae.evaluate({str(run.folder)!r}, data=array)"))
        else:
            steps.append(Step(words, _command("evaluate", run)))
    steps.append(Step("Move along the axes, in the browser", _command("explore", run)))
    steps.append(Step("Draw new items", _command("sample", run)))
    if encodes and run.items == "images" and run.settings.get("data") != ARRAY:
        steps.append(Step("Draw paths between pairs of test images", _command("interpolate", run)))
    if encodes and run.spectrum.get("matrix_ranks") and not run.truncated:
        keep = f"Keep the {run.spectrum['rank']} directions in use, as a smaller model"
        steps.append(Step(keep, _command("truncate", run, f"--rank {max(1, run.spectrum['rank'])}")))
    steps.append(Step("Write the model for other programs", _command("export", run)))
    return steps


def _command(name: str, run: RunView, options: str = "") -> str:
    trusted = "--trust-code" if ":" in str(run.settings.get("network")) else ""
    return " ".join(part for part in (shell_command(name, run.folder), options, trusted) if part)
