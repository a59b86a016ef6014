"""The run folder: everything a run reads and writes goes through here. Only checkpoints and weights need torch."""

import contextlib
import dataclasses
import io
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorae.config.methods import get_method
from lorae.config.settings import Settings
from lorae.errors import LoraeError
from lorae.system.files import try_lock, write_atomically

if TYPE_CHECKING:
    from lorae.models.autoencoder import Autoencoder


def _to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _write_model(model: "Autoencoder", folder: Path) -> None:
    """The weights, then what is needed to rebuild them."""
    from safetensors.torch import save

    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    write_atomically(folder / "model.safetensors", save(tensors))
    write_atomically(folder / "model.json", _to_json(dataclasses.asdict(model.spec)))


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write the `config.json` of a run folder."""
    write_atomically(folder / "config.json", _to_json(config))


class Run:
    """A run folder: `config.json`, `stats.jsonl`, `checkpoints/`, `model.safetensors`, `evaluation.json`, `figures/`.

    `Run(path)` opens an existing one and raises LoraeError where there is none; `Run.create` makes a new one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "config.json").is_file():
            raise LoraeError(
                f"run: {str(self.path)!r} is no run folder (it has no config.json); "
                "expected a folder that `lorae train` made"
            )

    @staticmethod
    def refuse_existing(path: str | Path) -> None:
        """LoraeError where something is at `path`: a run is never overwritten."""
        path = Path(path)
        blocking = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
        if not blocking.is_dir() and blocking != path.absolute():
            raise LoraeError(f"out: {str(path)!r} would lie below {str(blocking)!r}, which is no folder")
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            hint = f"continue it with `lorae resume {path}` or " if (path / "config.json").exists() else ""
            raise LoraeError(f"out: {str(path)!r} exists and is never overwritten; {hint}choose another --out")

    @classmethod
    def create(cls, path: str | Path, config: dict[str, Any]) -> "Run":
        """Make the folder and write its complete config."""
        cls.refuse_existing(path)
        path = Path(path)
        # Filled beside its place and renamed: a run folder has its config or does not exist.
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            (partial / "checkpoints").mkdir(parents=True)
            (partial / "figures").mkdir()
            write_config(partial, config)
            partial.rename(path)
        except OSError as error:
            raise LoraeError(f"out: cannot make the run folder {str(path)!r}: {error.strerror}") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return cls(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def config(self) -> dict[str, Any]:
        """What `config.json` says: version, command, settings, data, parameters, machine."""
        config = self._read_json("config.json")
        if not isinstance(config.get("settings"), dict):
            raise LoraeError(f"{self.path / 'config.json'}: expected a key 'settings'")
        return config

    @cached_property
    def settings(self) -> Settings:
        """The resolved settings."""
        return Settings.from_values(self.config["settings"], lambda _: str(self.path / "config.json"))

    def update_data_root(self, data_root: str) -> None:
        """Say in `config.json` in which folder the files of the data lie by now."""
        words = shlex.split(self.config["command"])
        if "--data-root" in words:
            words[words.index("--data-root") + 1] = data_root
        self.config["command"] = shlex.join(words)
        self.config["settings"]["data_root"] = data_root
        write_config(self.path, self.config)
        self.__dict__.pop("settings", None)

    # Statistics

    @property
    def _stats_path(self) -> Path:
        return self.path / "stats.jsonl"

    def append_stats(self, record: dict[str, Any]) -> None:
        """Add a line to `stats.jsonl`."""
        with self._stats_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def stats(self, event: str | None = None) -> Iterator[dict[str, Any]]:
        """The lines of `stats.jsonl`, all or those of one event; a last line cut off by a kill is left out."""
        if not self._stats_path.exists():
            return
        # Bytes: a line that a kill cut off may end within a character.
        *lines, _ = self._stats_path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                wanted = event in (None, record["event"])
            except (ValueError, KeyError, TypeError) as error:
                raise LoraeError(f"{self._stats_path}, line {number}: not a record of training ({error!r})") from None
            if wanted:
                yield record

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training the same run; LoraeError where one does."""
        lock = try_lock(self.path / "checkpoints" / ".lock", f"run: cannot write to {str(self.path)!r}")
        if lock is None:
            raise LoraeError(f"run: {str(self.path)!r} is being trained by another process")
        try:
            yield
        finally:
            lock.release()

    def truncate_stats(self, step: int) -> None:
        """Drop the lines of steps that a resumed run will take again."""
        kept = [json.dumps(record) + "\n" for record in self.stats() if record["step"] <= step]
        write_atomically(self._stats_path, "".join(kept).encode())

    # Checkpoints and weights

    @property
    def checkpoint_path(self) -> Path:
        """The last good checkpoint."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def last_checkpoint(self) -> Path | None:
        """The last good checkpoint, where there is one."""
        return self.checkpoint_path if self.checkpoint_path.exists() else None

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint atomically."""
        import torch

        buffer = io.BytesIO()
        torch.save(state | {"settings": self.settings.to_json()}, buffer)
        write_atomically(self.checkpoint_path, buffer.getvalue())

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The checkpoint, or None before the first; LoraeError where it is damaged or from other settings."""
        import torch

        if not self.checkpoint_path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.checkpoint_path, map_location="cpu", weights_only=True)
            # A setting that is younger than the checkpoint was what it is by default.
            theirs, ours = Settings().to_json() | state["settings"], self.settings.to_json()
        except Exception as error:  # torch raises many kinds for a damaged file
            reason = str(error).splitlines()[0]
            raise LoraeError(f"{self.checkpoint_path}: not a readable checkpoint ({reason})") from None
        # Where the data lie may change, and they are known by their fingerprint.
        differing = [name for name in ours if name != "data_root" and ours[name] != theirs[name]]
        if differing:
            pairs = ", ".join(f"{name} {theirs[name]!r} there, {ours[name]!r} here" for name in differing)
            raise LoraeError(
                f"{self.checkpoint_path}: made with other settings than config.json: {pairs}; "
                "restore config.json, or train anew with another --out"
            )
        return state

    @property
    def finished(self) -> bool:
        """Whether training came to its end and was measured."""
        names = ("model.json", "model.safetensors", "evaluation.json", "stats.jsonl")
        return all((self.path / name).exists() for name in names)

    def save_model(self, model: "Autoencoder") -> None:
        """Write `model.safetensors`, then `model.json`, which marks the run as finished."""
        _write_model(model, self.path)

    def save_point(self, model: "Autoencoder", name: str) -> None:
        """Write the model at a point of a penalty path, `path/NAME/model.safetensors` and `model.json`."""
        folder = self.path / "path" / name
        folder.mkdir(parents=True, exist_ok=True)
        _write_model(model, folder)

    def load_point(self, model: "Autoencoder", name: str) -> None:
        """Give a model the weights of a point of a penalty path."""
        from safetensors.torch import load_file

        model.load_state_dict(load_file(self.path / "path" / name / "model.safetensors"))

    def load_model(self, point: str | None = None) -> "Autoencoder":
        """The trained model, on the CPU, or the one at a point of a penalty path; LoraeError where it is not there."""
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from lorae.models.autoencoder import Autoencoder, ModelSpec

        folder = self.path if point is None else self._point_folder(point)
        if point is None and not self.finished:
            raise LoraeError(f"run: {str(self.path)!r} is not finished; continue it with `lorae resume {self.path}`")
        spec = self._read_json(folder.relative_to(self.path) / "model.json")
        if not (folder / "model.safetensors").exists():
            raise LoraeError(f"{folder / 'model.safetensors'}: not found, but model.json is there")
        try:
            with torch.random.fork_rng(devices=[]):  # weights that are replaced next cost the caller no random numbers
                model = Autoencoder(ModelSpec.from_json(spec))
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise LoraeError(
                f"{folder / 'model.safetensors'}: does not hold the model of model.json ({reason}); "
                f"delete model.json and run `lorae resume {self.path}`"
            ) from None
        return model.eval()

    def _point_folder(self, point: str) -> Path:
        folders = (model.parent.name for model in self.path.glob("path/*/model.json"))
        names = sorted(name for name in folders if name.isdigit())  # a truncated point may lie beside it
        if point not in names:
            known = f"one of {', '.join(names)}" if names else "a run with a penalty path"
            raise LoraeError(f"point: got {point!r}, expected {known}")
        return self.path / "path" / point

    # Results

    def evaluation(self) -> dict[str, Any]:
        """What has been measured so far: the content of `evaluation.json`."""
        return self._read_json("evaluation.json") if (self.path / "evaluation.json").exists() else {}

    def add_to_evaluation(self, results: dict[str, Any]) -> None:
        """Add or replace entries of `evaluation.json`."""
        write_atomically(self.path / "evaluation.json", _to_json(self.evaluation() | results))

    def figure_path(self, name: str) -> Path:
        """Where the figure of this name goes."""
        return self.path / "figures" / f"{name}.png"

    def summary(self) -> dict[str, Any]:
        """What `lorae train --json` prints of a finished run."""
        steps, epochs, evaluation = list(self.stats("step")), list(self.stats("epoch")), self.evaluation()
        measured = "rank" in evaluation and "reconstruction" in evaluation
        if not (steps and epochs and (measured or not get_method(self.settings.method).encodes)):
            raise LoraeError(
                f"run: {str(self.path)!r} lacks statistics or measurements; delete its model.json and "
                f"run `lorae resume {self.path}`"
            )
        last, epoch = steps[-1], epochs[-1]
        return {
            "run": str(self.path),
            "epochs": epoch["epoch"],
            "seconds": epoch["seconds"],
            "images_per_second": epoch["images_per_second"],
            "loss": {"total": last["loss"], **last["terms"]},
            # A generator alone has neither.
            "rank": evaluation["rank"]["rank"] if measured else None,
            "tolerance": evaluation["rank"]["tolerance"] if measured else None,
            "test_mse": evaluation["reconstruction"]["mse"] if measured else None,
            # What was found on the way to a rank: the ranks that were tried, or the points of a path.
            "course": evaluation.get("course"),
        }

    def _read_json(self, name: str | Path) -> dict[str, Any]:
        path = self.path / name
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LoraeError(f"{path}: not readable as JSON ({error})") from None
        if not isinstance(values, dict):
            raise LoraeError(f"{path}: holds {type(values).__name__}, expected a JSON object")
        return values
