"""Run a sweep: train settings in many processes, and report the frontier of rank and error."""

import contextlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.config.settings import use_current_names
from lorae.errors import LoraeError, LoraeWarning
from lorae.extras import import_extra
from lorae.runs.run import Run
from lorae.sweeps.definition import Definition, SweepFolder
from lorae.sweeps.options import OPTION_NAMES, SweepOptions
from lorae.sweeps.results import Outcome, Setting, TrialRecord, failure, read_records, write_records
from lorae.system.faults import tolerated
from lorae.system.files import home_expanded
from lorae.system.progress import progress_bar
from lorae.system.signals import Interrupted

if TYPE_CHECKING:
    from lorae.sweeps.queue import Queue


@dataclass(frozen=True)
class Sweep:
    """A sweep in its folder.

    Parameters
    ----------
    path : Path
        The folder.
    outcome : Outcome
        Its trials, and the settings that were trained to the end.
    """

    path: Path
    outcome: Outcome

    @classmethod
    def open(cls, path: str | Path) -> "Sweep":
        """Return the sweep of a folder, as far as it has come; LoraeError if it is none."""
        folder = SweepFolder(home_expanded(path))
        return cls(folder.path, Outcome.of(folder.read(), read_records(folder)))

    @property
    def trials(self) -> list[TrialRecord]:
        """Records of all trials: number, state, values of settings, seed, and what was measured."""
        return self.outcome.records

    @property
    def best(self) -> list[Setting]:
        """Best settings by the mean over their seeds: one for a single objective, the frontier of several."""
        return self.outcome.best

    @property
    def frontier(self) -> list[Setting]:
        """Settings of which no other has at most their rank and their error, from the smallest rank on."""
        return self.outcome.frontier("rank", "error")

    def run(self, trial: int) -> Run:
        """Return the run of a trial."""
        return Run(SweepFolder(self.path).run_path(trial))

    @property
    def command(self) -> str | None:
        """Command that trains the first of the best settings on all training items; None before there is one."""
        return self.outcome.command(self.best[0]) if self.best else None

    def summary(self) -> dict[str, Any]:
        """Return counts, best settings and frontier as plain JSON values."""
        states = ("complete", "pruned", "failed", "running", "waiting")
        return {
            "sweep": str(self.path),
            "trials": {state: self.outcome.count(state) for state in states},  # type: ignore[arg-type]
            "objective": self.outcome.definition["objective"],
            "best": [_described(setting) for setting in self.best],
            "frontier": [_described(setting) for setting in self.frontier],
            "command": self.command,
            "report": str(self.path / "report.html"),
        }


def _described(setting: Setting) -> dict[str, Any]:
    measured = {name: setting.mean(name) for name in ("rank", "error", "fid")}
    return {
        "parameters": setting.parameters,
        **{name: value for name, value in measured.items() if value is not None},
        "trials": [trial["number"] for trial in setting.trials],
    }


def sweep(
    data: Any = None,
    *,
    out: str | Path | None = None,
    config: str | Path | None = None,
    resume: str | Path | None = None,
    retry: bool = False,
    trust_code: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Sweep:
    """Train many settings on one data set, in several processes, and write a page with the frontier of rank and error.

    A sweep that was interrupted is continued by the same call. Several calls, on several machines that see the folder
    and the database, share the work.

    Parameters
    ----------
    data : object, default=None
        As in `train`; items in memory are written into the folder, for the processes. None takes the data of `config`,
        else mnist.
    out : str or Path, default=None
        Folder of the sweep; None takes `sweeps/DATA`.
    config : str or Path, default=None
        YAML or TOML file of settings and options; keyword arguments override it.
    resume : str or Path, default=None
        Folder of a sweep to continue with its settings, in the place of data, out, config and settings.
    retry : bool, default=False
        Train failed trials once more, but not those whose training diverged or collapsed.
    trust_code : bool, default=False
        With `resume`: import the file of networks that the sweep names. It can do anything that you can.
    quiet : bool, default=False
        Show no progress bar.
    **settings
        Fields of `lorae.config.settings.Settings`, and of `lorae.sweeps.SweepOptions`. A list, or text with commas, is
        choices; `"LOW:HIGH"` and `"LOW:HIGH:log"` are ranges, as in `penalty="1e-5:1e-2:log", latent_dim=[64, 128],
        seeds=[0, 1], trials=40, workers=2`. Lists alone, without `trials`, are a grid.

    Returns
    -------
    Sweep
        With `best` settings, `frontier`, `trials`, `command` and `path`.

    Raises
    ------
    LoraeError
        If a setting does not fit, before anything is written; if trials have failed, after all others have ended.

    Examples
    --------
    >>> found = sweep("mnist", penalty="1e-5:1e-2:log", trials=20, out="sweeps/mnist")   # doctest: +SKIP
    >>> found.command                                                                    # doctest: +SKIP
    'lorae train mnist --penalty 0.00031 --seed 0 --out runs/best'
    """
    import_extra("optuna", "sweep")
    from lorae.api.loading import origin_of_argument
    from lorae.api.run_config import merge_settings, read_config
    from lorae.sweeps import planning
    from lorae.sweeps.queue import Queue
    from lorae.sweeps.storage import open_study

    from_file = {} if config is None else use_current_names(read_config(Path(config)))
    if resume is not None:
        if data is not None or out is not None or config is not None:
            raise LoraeError("resume: given beside data, out or config, which are those of the sweep")
        planning.refuse_settings(settings)
        options = SweepOptions.from_values(settings, origin_of_argument)
        folder = SweepFolder(home_expanded(resume))
        definition, url = planning.reopened(folder, options, trust_code=trust_code)
    else:
        merged = merge_settings(from_file, use_current_names(settings))
        in_file = from_file.keys() - settings.keys()
        if "network" in in_file:
            planning.refuse_network(from_file["network"], f"pass it again as network= to import that file ({config})")

        def origin(name: str) -> str:
            return str(config) if name in in_file else origin_of_argument(name)

        data = merged.pop("data", "mnist") if data is None else data
        of_sweep = {name: merged.pop(name) for name in OPTION_NAMES if name in merged}
        options = SweepOptions.from_values(of_sweep, origin)
        asked, array = planning.planned(data, merged, options, origin)
        folder = SweepFolder(home_expanded(out) if out is not None else _default_out(asked))
        definition, url = planning.make_or_open(folder, asked, array, options.storage)
    with open_study(url, definition) as study:
        queue = Queue(folder, definition, study, url)
        queue.plan()
        if retry:
            queue.retry()
        return _run(queue, url, options, quiet)


def _run(queue: "Queue", url: str, options: SweepOptions, quiet: bool) -> Sweep:
    """Train all trials, and report them, also after an interrupt; LoraeError if some have failed."""
    from lorae.sweeps import planning

    folder, definition = queue.folder, queue.definition
    try:
        _train(queue, url, options, quiet, planning.total(definition))
    except KeyboardInterrupt:
        found = _reported(queue, url)
        command = planning.resume_command(folder)
        raise Interrupted(
            f"with {found.outcome.count('complete', 'pruned', 'failed')} of {planning.total(definition)} trials ended, "
            f"the others are saved; continue with `{command}`"
        ) from None
    found = _reported(queue, url)
    error = failure(found.outcome, folder.path)
    if error is not None:
        raise error
    return found


def _default_out(definition: Definition) -> Path:
    return Path("sweeps") / Path(str(definition["settings"]["data"])).stem


def _train(queue: "Queue", url: str, options: SweepOptions, quiet: bool, total: int) -> None:
    """Train the trials in this process, in several, or in jobs of submitit; show how many have ended."""
    from lorae.sweeps.processes import run_workers
    from lorae.sweeps.storage import has_password, reaching
    from lorae.sweeps.worker import thread_limit, work

    folder, executor = queue.folder.path, options.executor
    if options.slurm is not None and executor == "processes":
        executor = "slurm"
    if executor != "processes" and has_password(url):
        raise LoraeError(
            "storage: a URL with a password would be written into the files of the jobs; leave it out, and give the "
            "password by ~/.pgpass or PGPASSWORD",
            argument="storage",
        )
    count, devices = _workers(options, executor)
    with progress_bar(quiet) as bar:
        task = bar.add_task("trials", total=total, completed=0, note="")

        def show() -> int:
            with reaching(url):
                states = [trial.state.name for trial in queue.study.get_trials(deepcopy=False)]
            ended = sum(state in ("COMPLETE", "PRUNED", "FAIL") for state in states)
            running = states.count("RUNNING")
            bar.update(task, completed=ended, note=f"{running} running, {states.count('PRUNED')} pruned")
            return ended

        show()
        if executor != "processes":
            from lorae.sweeps.submission import run_jobs

            run_jobs(folder, url, count, options.threads, show, executor, options.slurm or {})
        elif count == 1:
            with thread_limit(options.threads or 1):
                work(folder, url, after=show)
        else:
            run_workers(folder, url, count, options.threads or 1, show, devices)


def _workers(options: SweepOptions, executor: str) -> tuple[int, list[str]]:
    """Return the number of workers, and the GPUs among which they are divided if there are several."""
    import torch

    from lorae.system.cores import available_cores

    gpus = torch.cuda.device_count() if executor == "processes" else 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(gpus)]
    count = options.workers or (1 if executor != "processes" else gpus or available_cores())
    return count, names if gpus > 1 else []


def _reported(queue: "Queue", url: str) -> Sweep:
    """Write records and report, and return the sweep."""
    from lorae.sweeps.page import write_page
    from lorae.sweeps.storage import reaching

    with queue.folder.deciding(), reaching(url):
        records = write_records(queue.folder, queue.study)
    with tolerated("report: the page of the sweep is not written"):
        write_page(queue.folder, queue.study)
    return Sweep(queue.folder.path, Outcome.of(queue.definition, records))


def write_report(path: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a sweep anew from its records and runs; return the page, by default `report.html` there."""
    from lorae.sweeps.page import write_page
    from lorae.sweeps.storage import default_url, open_study

    folder = SweepFolder(home_expanded(path))
    definition = folder.read()
    url = definition["storage"] or default_url(folder.path)
    target = None if out is None else Path(out)
    with contextlib.ExitStack() as stack:
        try:
            study = stack.enter_context(open_study(url, definition))
        except LoraeError as error:
            warnings.warn(f"{error}; the page is of the records, without the importance of settings", LoraeWarning, 2)
            return write_page(folder, None, target)
        return write_page(folder, study, target)
