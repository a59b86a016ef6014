"""Trackers as callbacks: TensorBoard, Weights & Biases, MLflow. Their packages are imported when one is used."""

import hashlib
import os
from types import ModuleType
from typing import Any

from lorae.errors import LoraeError
from lorae.extras import import_extra
from lorae.system.faults import reason_of
from lorae.training.callbacks import Progress

# Name of the tracker -> the module that it needs.
MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


def new_tracker(name: str) -> "Tracker":
    """Return the tracker of a name; LoraeError for one whose package is missing."""
    return _TRACKERS[name](import_extra(MODULES[name], f"track: got {name!r}"))


class Tracker:
    """Sends the loss and its terms every `log_every` steps, and error and rank of test items every epoch.

    `connect` is called before the first values, `send` with numbers by name.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        self.connected = False

    def on_step_end(self, progress: Progress) -> None:
        """Send loss and terms, `train/...`."""
        if progress.step % progress.run.settings.log_every == 0:
            self._send("train", progress)

    def on_epoch_end(self, progress: Progress) -> None:
        """Send error and rank of test items, `test/...`."""
        self._send("test", progress)

    def close(self) -> None:
        """Complete the record."""
        if self.connected:
            self.disconnect()

    def connect(self, progress: Progress) -> None:
        """Begin a record of the run, or continue that of a resumed one."""

    def send(self, step: int, numbers: dict[str, float]) -> None:
        """Add numbers to the record."""

    def disconnect(self) -> None:
        """End the record."""

    def _send(self, prefix: str, progress: Progress) -> None:
        if not self.connected:
            self.connect(progress)
            self.connected = True
        numbers = {f"{prefix}/{name}": float(value) for name, value in progress.values.items() if value is not None}
        self.send(progress.step, numbers | {"epoch": float(progress.epoch)})


class TensorBoard(Tracker):
    """Event files in the folder `tensorboard` of the run, for `tensorboard --logdir RUN`."""

    def connect(self, progress: Progress) -> None:
        """See `Tracker.connect`; events after the step of a resumed run are dropped."""
        folder = progress.run.path / "tensorboard"
        self.writer = self.module.SummaryWriter(str(folder), purge_step=progress.step)

    def send(self, step: int, numbers: dict[str, float]) -> None:
        """See `Tracker.send`."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def disconnect(self) -> None:
        """See `Tracker.disconnect`."""
        self.writer.close()


class WeightsAndBiases(Tracker):
    """A run of `wandb`, in `wandb` of the run folder; variables such as WANDB_MODE and WANDB_PROJECT hold."""

    def connect(self, progress: Progress) -> None:
        """See `Tracker.connect`."""
        self.run = self.module.init(
            project=os.environ.get("WANDB_PROJECT", "lorae"),
            name=progress.run.path.name,
            id=identity(progress),
            resume="allow",
            dir=str(progress.run.path),
            config=progress.run.settings.to_json(),
        )

    def send(self, step: int, numbers: dict[str, float]) -> None:
        """See `Tracker.send`."""
        self.run.log(numbers, step=step)

    def disconnect(self) -> None:
        """See `Tracker.disconnect`."""
        self.run.finish()


class MLflow(Tracker):
    """A run of MLflow, in the store and experiment of MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__(module)
        try:
            self.client = self.module.MlflowClient()
        except self.module.exceptions.MlflowException as error:  # before anything is trained
            raise LoraeError(
                f"track: got 'mlflow', whose store cannot be used ({reason_of(error)}); for a folder set the variables "
                "MLFLOW_TRACKING_URI=file:FOLDER and, since MLflow 3, MLFLOW_ALLOW_FILE_STORE=true"
            ) from None

    def connect(self, progress: Progress) -> None:
        """See `Tracker.connect`; the tag `lorae.run` finds the record of a resumed run."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "lorae")
        experiment = self.client.get_experiment_by_name(name)
        place = experiment.experiment_id if experiment else self.client.create_experiment(name)
        tag = identity(progress)
        found = self.client.search_runs([place], f"tags.`lorae.run` = '{tag}'")
        if found:
            self.record = found[0].info.run_id
            self.client.update_run(self.record, status="RUNNING")
            return
        created = self.client.create_run(place, tags={"lorae.run": tag}, run_name=progress.run.path.name)
        self.record = created.info.run_id
        for setting, value in progress.run.settings.to_json().items():
            self.client.log_param(self.record, setting, value)

    def send(self, step: int, numbers: dict[str, float]) -> None:
        """See `Tracker.send`."""
        for name, value in numbers.items():
            self.client.log_metric(self.record, name, value, step=step)

    def disconnect(self) -> None:
        """See `Tracker.disconnect`."""
        self.client.set_terminated(self.record)


def identity(progress: Progress) -> str:
    """Return a name for a run that no other run has, the same when it is resumed or extended."""
    config = progress.run.path / "config.json"
    settings = str(sorted((progress.run.settings.to_json() | {"epochs": None}).items()))
    words = f"{config.absolute()} {settings}"
    return hashlib.sha256(words.encode()).hexdigest()[:16]


_TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow}
