"""Outcomes of the trials of a sweep: records, settings by the mean of their seeds, the frontier, the best.

This module imports no torch.
"""

import shlex
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from lorae.errors import LoraeError, flag, shell_command
from lorae.runs.run import Run
from lorae.sweeps.definition import Definition, SweepFolder, space_of
from lorae.sweeps.queue import counted
from lorae.sweeps.space import key_of
from lorae.system.faults import reason_of
from lorae.system.files import read_file, write_atomically
from lorae.system.records import parse_record, record_text

if TYPE_CHECKING:
    from optuna import Study

State = Literal["waiting", "running", "complete", "pruned", "failed"]
STATES: dict[str, State] = {
    "WAITING": "waiting",
    "RUNNING": "running",
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
}
# Finished trials below which shares of the settings in the spread of the error are a matter of luck.
LEAST = 10


class TrialRecord(TypedDict):
    """A line of `records.jsonl`; `measured` has `error`, `rank`, `seconds` and perhaps `fid`, `epoch` the last one."""

    number: int
    state: State
    parameters: dict[str, Any]
    seed: int
    measured: dict[str, float]
    feasible: bool
    epoch: int | None
    error_there: float | None
    reason: str | None
    same_as: int | None
    warnings: list[str]


def records_of(study: "Study") -> list[TrialRecord]:
    """Return the record of each trial of a study, in the order of their numbers."""
    found: list[TrialRecord] = []
    for trial in counted(study):
        values, epochs = trial.user_attrs, trial.intermediate_values
        last = max(epochs, default=None)
        found.append(
            {
                "number": trial.number,
                "state": STATES[trial.state.name],
                "parameters": values["parameters"],
                "seed": values["seed"],
                "measured": values.get("measured", {}),
                "feasible": not any(value > 0 for value in trial.constraints.values()),
                "epoch": last,
                "error_there": None if last is None else epochs[last],
                "reason": values.get("reason"),
                "same_as": values.get("same_as"),
                "warnings": values.get("warnings", []),
            }
        )
    by_number = {record["number"]: record for record in found}
    for record in found:  # an outcome that was taken from another trial
        if record["same_as"] is not None and record["same_as"] in by_number:
            earlier = by_number[record["same_as"]]
            record["measured"], record["reason"] = earlier["measured"], earlier["reason"]
    return found


def write_records(folder: SweepFolder, study: "Study") -> list[TrialRecord]:
    """Write `records.jsonl`, and return its records."""
    found = records_of(study)
    lines = [record_text(record) for record in found]
    write_atomically(folder.path / "records.jsonl", "".join(lines).encode())
    return found


def read_records(folder: SweepFolder) -> list[TrialRecord]:
    """Return the records of `records.jsonl`, none before it is written; LoraeError for a damaged file."""
    path = folder.path / "records.jsonl"
    try:
        lines = read_file(path).split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LoraeError(f"{path}: cannot be read ({reason_of(error)})") from None
    return [
        cast(TrialRecord, parse_record(line, TrialRecord, f"{path}, line {number}"))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def measures_of(run: Run) -> dict[str, float]:
    """Return the rank, error, FID and seconds of a finished run, as far as they are measured.

    The FID is that of samples from one Gaussian, or of a generator from its prior.
    """
    found = run.evaluation()
    measured: dict[str, float] = {}
    if "reconstruction" in found and "rank" in found:
        measured |= {"error": found["reconstruction"]["mse"], "rank": found["rank"]["rank"]}
    distances = found.get("fid") or {}
    sampler = next((name for name in ("gaussian", "prior") if name in distances), None)
    measured |= {} if sampler is None else {"fid": distances[sampler]["value"]}
    ends = list(run.stats("epoch"))
    return measured | ({"seconds": ends[-1]["seconds"]} if ends else {})


@dataclass(frozen=True)
class Setting:
    """Values of the searched settings, and the trials with them that were trained to the end, one for each seed."""

    parameters: dict[str, Any]
    trials: list[TrialRecord]
    complete: bool  # all seeds

    def mean(self, name: str) -> float | None:
        """Return the mean of a measure over the seeds; None if a seed lacks it."""
        values = [trial["measured"].get(name) for trial in self.trials]
        known = [value for value in values if value is not None]
        return statistics.fmean(known) if known and len(known) == len(values) else None

    @property
    def feasible(self) -> bool:
        """Whether all seeds are within the bounds on rank and error."""
        return all(trial["feasible"] for trial in self.trials)


@dataclass(frozen=True)
class Outcome:
    """What a sweep has found so far."""

    definition: Definition
    records: list[TrialRecord]
    settings: list[Setting] = field(default_factory=list)

    @classmethod
    def of(cls, definition: Definition, records: Sequence[TrialRecord]) -> "Outcome":
        """Group the trials by their settings."""
        groups: dict[str, list[TrialRecord]] = {}
        for record in records:
            if record["state"] == "complete" and record["same_as"] is None:
                groups.setdefault(key_of(record["parameters"]), []).append(record)
        seeds = set(definition["seeds"])
        settings = [
            Setting(group[0]["parameters"], group, {trial["seed"] for trial in group} >= seeds)
            for group in groups.values()
        ]
        return cls(definition, list(records), settings)

    def count(self, *states: State) -> int:
        """Return the number of trials in some states."""
        return sum(record["state"] in states for record in self.records)

    @property
    def candidates(self) -> list[Setting]:
        """Settings that may be the best: within the bounds, with all seeds if any setting has all."""
        feasible = [setting for setting in self.settings if setting.feasible]
        return [setting for setting in feasible if setting.complete] or feasible

    def frontier(self, *names: str) -> list[Setting]:
        """Return the settings of which no other is at least as good in all measures and better in one, by the first."""
        points = [
            (setting, values)
            for setting in self.candidates
            if None not in (values := tuple(setting.mean(name) for name in names))
        ]
        best = [
            (setting, values)
            for setting, values in points
            if not any(dominates(cast(Any, others), cast(Any, values)) for _, others in points)
        ]
        return [setting for setting, values in sorted(best, key=lambda pair: cast(Any, pair[1]))]

    @property
    def best(self) -> list[Setting]:
        """Best settings: one for a single objective, the frontier of several; none before one is found."""
        found = self.frontier(*self.definition["objective"])
        return found if len(self.definition["objective"]) > 1 else found[:1]

    @property
    def failures(self) -> list[TrialRecord]:
        """Trials that failed, without those that were only the same again."""
        return [record for record in self.records if record["state"] == "failed" and record["same_as"] is None]

    def command(self, setting: Setting, out: str = "runs/best") -> str:
        """Return the command that trains a setting on all training items, with the first of the seeds."""
        space = space_of(self.definition)
        settings = {name: value for name, value in space.fixed.items() if name not in ("data", "holdout")}
        settings |= setting.parameters | {"seed": self.definition["seeds"][0]}
        words = ["lorae", "train", str(space.fixed["data"])]
        for name, value in settings.items():
            if value is True:
                words.append(flag(name))
            elif value is not False and value is not None:
                words += [flag(name), _word(name, value)]
        return shlex.join([*words, "--out", out])


def dominates(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether values are nowhere larger than others and somewhere smaller.

    >>> dominates((3, 0.1), (4, 0.1)), dominates((3, 0.2), (4, 0.1))
    (True, False)
    """
    return all(one <= other for one, other in zip(first, second, strict=True)) and tuple(first) != tuple(second)


def _word(name: str, value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return (":" if name == "value_range" else ",").join(map(str, value))
    return str(value)


def failure(outcome: Outcome, folder: Path) -> LoraeError | None:
    """Return the error that names all trials that failed; None if none did."""
    failed = outcome.failures
    if not failed:
        return None
    first, *others = failed
    more = f" ({len(others)} more failed: {', '.join(str(record['number']) for record in others)})" if others else ""
    done = outcome.count("complete", "pruned")
    command = shell_command("report", folder)
    return LoraeError(
        f"trial {first['number']}: {first['reason']}{more}; {done} of {len(outcome.records)} trials have a result, see "
        f"{folder / 'report.html'} or `{command}`"
    )


def importances(study: "Study", name: str) -> Mapping[str, float] | None:
    """Return the share of each searched setting in the spread of a measure; None for too few trials.

    PED-ANOVA (Watanabe et al., IJCAI 2023), of Optuna, which compares the best trials with all.
    """
    import optuna

    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    known = [trial for trial in done if name in trial.user_attrs.get("measured", {})]
    varied = {each for trial in known for each in trial.params if len({str(t.params.get(each)) for t in known}) > 1}
    if len(known) < LEAST or len(known) < len(done) or len(varied) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features that are experimental
        try:
            return optuna.importance.get_param_importances(
                study, target=lambda trial: float(trial.user_attrs["measured"][name]), params=sorted(varied)
            )
        except (ValueError, RuntimeError):  # such as of trials with equal values
            return None
