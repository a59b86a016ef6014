"""The run folder: everything that a run reads and writes. Only checkpoints and weights need torch."""

import contextlib
import io
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lorae.config.settings import Settings
from lorae.errors import LoraeError, shell_command
from lorae.runs.evaluation_file import EvaluationFile
from lorae.runs.figure_data import FigureDataFile
from lorae.runs.model_files import (
    Kept,
    check_archive,
    delete_derived,
    load_weights,
    read_kept,
    read_model,
    save_tensors_atomically,
    write_kept,
    write_spec,
    write_weights,
)
from lorae.runs.network_files import open_networks, write_config
from lorae.runs.schema import SCHEMA, Checkpoint, Config, TrainingState, as_checkpoint, read_record
from lorae.runs.statistics_file import StatisticsFile
from lorae.runs.summary import summarize
from lorae.system.faults import reason_of, tolerated
from lorae.system.files import CannotWriteError, read_file, staged_folder, sweep, try_lock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lorae.models.autoencoder import Autoencoder
    from lorae.models.own_networks import OwnNetworks


class Run:
    """A run folder: `config.json`, `stats.jsonl`, `checkpoints/`, `model.safetensors`, `evaluation.json`, `figures/`.

    Records of earlier versions are migrated on reading; files change only when they are written.

    Parameters
    ----------
    path : str or Path
        An existing run folder; `Run.create` makes a new one.
    encoder, decoder : torch module, default=None
        For a run with networks of your own: modules of the same structure, whose weights are replaced by the run's.
    trust_code : bool, default=False
        Import the copy of your file in `network/` of such a run, to make its networks. The file can do anything that
        you can, so read it first in a run that you did not train.

    Raises
    ------
    LoraeError
        If the folder has no `config.json`.
    """

    def __init__(self, path: str | Path, *, encoder: Any = None, decoder: Any = None, trust_code: bool = False) -> None:
        self.path = Path(path)
        self._modules = encoder, decoder
        self._trust_code = trust_code
        self._statistics = StatisticsFile(self.path / "stats.jsonl")
        self._results = EvaluationFile(self.path / "evaluation.json", self.path / "checkpoints" / ".evaluation.lock")
        self.figure_data = FigureDataFile(self.path)
        if not (self.path / "config.json").is_file():
            sweep = "a sweep, with runs in its folder trials" if (self.path / "sweep.json").is_file() else ""
            kind = sweep or "no run folder (it has no config.json)"
            raise LoraeError(f"run: {str(self.path)!r} is {kind}; expected a folder that `lorae train` made")

    @staticmethod
    def refuse_existing(path: str | Path) -> None:
        """Raise LoraeError if `path` exists: a run is never overwritten."""
        path = Path(path)
        try:
            blocking = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
        except OSError as error:  # of a name that is too long
            raise LoraeError(f"out: cannot use {str(path)!r}: {reason_of(error)}") from None
        if not blocking.is_dir() and blocking != path.absolute():
            raise LoraeError(f"out: {str(path)!r} would lie below {str(blocking)!r}, which is no folder")
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            hint = f"continue it with `{shell_command('resume', path)}` or " if (path / "config.json").exists() else ""
            raise LoraeError(f"out: {str(path)!r} exists and is never overwritten; {hint}choose another folder")

    @classmethod
    def create(cls, path: str | Path, config: Config, networks: "OwnNetworks | None" = None) -> "Run":
        """Make a run folder with its config and the user's networks; raise LoraeError if `path` exists."""
        cls.refuse_existing(path)
        path = Path(path)
        # Staged: a run folder has its config or does not exist.
        try:
            with staged_folder(path, tag=f"{os.getpid()}.") as partial:
                (partial / "checkpoints").mkdir()
                (partial / "figures").mkdir()
                write_config(partial, config, networks)
        except CannotWriteError:
            cls.refuse_existing(path)  # another process may have made it meanwhile
            raise
        except OSError as error:
            raise LoraeError(f"out: cannot make the run folder {str(path)!r}: {error.strerror}") from None
        return cls.opened(path, networks)

    @classmethod
    def opened(cls, path: str | Path, networks: "OwnNetworks | None") -> "Run":
        """Return the run of a folder whose networks are at hand."""
        run = cls(path)
        run.__dict__["networks"] = networks
        return run

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def config(self) -> Config:
        """Content of `config.json`."""
        return cast(Config, read_record("config", self.path / "config.json"))

    def fact(self, *place: str) -> Any:
        """Return an entry of `config.json`, as in `fact("data", "name")`; LoraeError if it is missing."""
        value: Any = self.config
        for depth, name in enumerate(place, start=1):
            if name not in value:
                raise LoraeError(f"{self.path / 'config.json'}: {'.'.join(place[:depth])} is missing; restore the file")
            value = value[name]
        return value

    @cached_property
    def settings(self) -> Settings:
        """Resolved settings."""
        return Settings.from_values(self.config["settings"], lambda _: str(self.path / "config.json"))

    @cached_property
    def networks(self) -> "OwnNetworks | None":
        """The user's networks, from the modules given or the trusted file; None for a run with a built-in network."""
        return open_networks(self.path, self.config, self._modules, trust_code=self._trust_code)

    @property
    def threads(self) -> int:
        """Number of CPU threads that the run was begun with; sums of floats depend on it."""
        threads: int = self.fact("machine", "threads")
        return threads

    def update_data_root(self, data_root: str) -> None:
        """Change `config.json` after the files of the data were moved to another folder."""
        words = shlex.split(self.fact("command"))
        if "--data-root" in words:
            words[words.index("--data-root") + 1] = data_root
        self.config["command"] = shlex.join(words)
        self.config["settings"]["data_root"] = data_root
        write_config(self.path, self.config)
        self.__dict__.pop("settings", None)

    def extend(self, epochs: int) -> None:
        """Make a finished run an unfinished one of more epochs; of the old weights only these stay, until it ends."""
        delete_derived(self.path)
        self._results.remove()
        self.figure_data.delete()
        before = {"epochs": self.fact("settings", "epochs")}
        self.config["extended"] = [*self.config.get("extended", []), before]
        self.config["settings"]["epochs"] = epochs
        write_config(self.path, self.config)
        self.__dict__.pop("settings", None)

    # Statistics

    def append_stats(self, record: dict[str, Any]) -> None:
        """Append a line to `stats.jsonl`; while that cannot be written, lines wait in memory."""
        self._statistics.append(record)

    def stats(self, event: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the lines of `stats.jsonl`, or those of one event (`step` or `epoch`)."""
        return self._statistics.read(event, self._results.log_lines if self.finished else None)

    def truncate_stats(self, step: int) -> None:
        """Drop the lines after `step`, which a resumed run writes again."""
        self._statistics.replace([record for record in self.stats() if record["step"] <= step])

    def copy_stats(self, run: "Run") -> None:
        """Replace the statistics by those of another run."""
        self._statistics.replace(run.stats())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training the same run; raise LoraeError if one does."""
        lock = try_lock(self.path / "checkpoints" / ".lock", f"run: cannot write to {str(self.path)!r}")
        if lock is None:
            raise LoraeError(f"run: {str(self.path)!r} is being trained by another process")
        try:
            for folder in (self.path, *(path for path in self.path.rglob("*") if path.is_dir())):
                sweep(folder)
            yield
        finally:
            lock.release()

    # Checkpoints and weights

    @property
    def checkpoint_path(self) -> Path:
        """Path of the checkpoint, which may not exist yet."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def last_checkpoint(self) -> Path | None:
        """Path of the checkpoint, or None before the first."""
        return self.checkpoint_path if self.checkpoint_path.exists() else None

    def save_checkpoint(self, state: TrainingState) -> None:
        """Replace the checkpoint atomically; where it cannot be written, warn and keep the one before."""
        checkpoint = {**state, "schema": SCHEMA, "settings": self.settings.to_json()}
        with tolerated("checkpoint: the training goes on without a new one"):
            save_tensors_atomically(self.checkpoint_path, checkpoint)

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint, or None before the first; refuse one that was made with other settings."""
        import torch

        if not self.checkpoint_path.exists():
            return None
        try:
            content = read_file(self.checkpoint_path)
            check_archive(content)
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            checkpoint = as_checkpoint(state, self.checkpoint_path)
            # A setting that is younger than the checkpoint had its default.
            theirs, ours = Settings().to_json() | checkpoint["settings"], self.settings.to_json()
        except LoraeError:
            raise
        except Exception as error:  # torch raises many kinds for a damaged file
            raise LoraeError(
                f"{self.checkpoint_path}: not a readable checkpoint ({reason_of(error)}); delete it to train anew"
            ) from None
        # The folder of the data may change: the data are identified by their fingerprint.
        free = {"data_root"}
        if {"epochs": theirs["epochs"]} in self.config.get("extended", []):
            free.add("epochs")
        differing = [name for name in ours if name not in free and ours[name] != theirs[name]]
        if differing:
            pairs = ", ".join(f"{name} {theirs[name]!r} there, {ours[name]!r} here" for name in differing)
            raise LoraeError(
                f"{self.checkpoint_path}: made with other settings than config.json: {pairs}; "
                "restore config.json, or train a new run in another folder"
            )
        return checkpoint

    @property
    def finished(self) -> bool:
        """Whether training ended and the model was measured."""
        files = ("model.json", "model.safetensors", "evaluation.json", "stats.jsonl")
        return all((self.path / name).exists() for name in files)

    def save_weights(self, model: "Autoencoder") -> None:
        """Write `model.safetensors`, before anything that may fail."""
        write_weights(model, self.path)

    def keep(self, kind: Kept, array: "NDArray[Any]") -> None:
        """Write `KIND.safetensors`: an array for use without the data."""
        write_kept(kind, array, self.path)

    def encoder_outputs(self, model: "Autoencoder | None" = None) -> "NDArray[Any] | None":
        """Return the outputs (n, input_dim) that are kept; None for a generator and for runs of earlier versions."""
        return read_kept("encoder_outputs", self.path, None if model is None else (model.bottleneck.input_dim,))

    def reference_items(self, model: "Autoencoder | None" = None) -> "NDArray[Any] | None":
        """Return the test items (n, ...) that are kept; None for a generator and for runs of earlier versions."""
        return read_kept("reference_items", self.path, None if model is None else model.spec.shape)

    def mark_finished(self, model: "Autoencoder") -> None:
        """Write `model.json`, the last file of a finished run."""
        write_spec(model, self.path)

    def save_model(self, model: "Autoencoder") -> None:
        """Write `model.safetensors`, then `model.json`, which marks the run as finished."""
        self.save_weights(model)
        self.mark_finished(model)

    def save_point(self, model: "Autoencoder", name: str) -> None:
        """Write the model at a point of a penalty path into `path/NAME/`."""
        folder = self.path / "path" / name
        write_weights(model, folder)
        write_spec(model, folder)

    def load_point(self, model: "Autoencoder", name: str) -> None:
        """Load the weights at a point of a penalty path into a model."""
        load_weights(model, self.path / "path" / name)

    def load_model(self, point: str | None = None) -> "Autoencoder":
        """Return the trained model, or that of a point of a penalty path, on the CPU and in evaluation mode."""
        folder = self.path if point is None else self._point_folder(point)
        if point is None and not self.finished:
            command = shell_command("resume", self.path)
            raise LoraeError(f"run: {str(self.path)!r} is not finished; continue it with `{command}`")
        cure = f"delete model.json and run `{shell_command('resume', self.path)}`"
        advice = cure if self.networks is None else "pass modules of the structure that was trained"
        return read_model(folder, advice, self.networks)

    def _point_folder(self, point: str) -> Path:
        folders = (model.parent.name for model in self.path.glob("path/*/model.json"))
        names = sorted(name for name in folders if name.isdigit())  # a truncated point may lie beside it
        if point not in names:
            known = f"one of {', '.join(names)}" if names else "a run with a penalty path"
            raise LoraeError(f"point: got {point!r}, expected {known}")
        return self.path / "path" / point

    # Results

    def evaluation(self) -> dict[str, Any]:
        """Return the content of `evaluation.json` by measure, with results that could not be written."""
        return self._results.read()

    def add_to_evaluation(self, results: Mapping[str, Any]) -> None:
        """Add or replace entries of `evaluation.json`, after other writers; None removes one, unwritten ones stay."""
        self._results.add(results, self._results.log_lines if self.finished else self._statistics.lines)

    def copied(self) -> "Run":
        """Return a copy of config, statistics and points in the first folder that can be written."""
        for place in (Path.cwd, lambda: Path(tempfile.gettempdir()), Path.home):
            with contextlib.suppress(OSError, RuntimeError, LoraeError):
                folder = tempfile.mkdtemp(prefix=f"{self.path.name}-", dir=place())
                copy = Run.create(folder, self.config, self.networks)
                copy.copy_stats(self)
                if (self.path / "path").exists():
                    shutil.copytree(self.path / "path", copy.path / "path")
                return copy
        others = "the current, the temporary and the home folder"
        raise CannotWriteError(f"{self.path}: cannot be written, nor can {others}")

    def figure_path(self, name: str) -> Path:
        """Return the path of a figure."""
        return self.figures / f"{name}.png"

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.path / "figures"

    def summary(self) -> dict[str, Any]:
        """Return the summary of a finished run, as `lorae train --json` prints it.

        `rank`, `tolerance` and `test_mse` are None for a generator, `test_mse` also for a truncation without the data;
        `schedule` has the ranks that were tried, or the points of a penalty path; `stopping` where and why the training
        ended, with `epochs` auto.
        """
        return summarize(self)
