"""Give the trials of a sweep to workers: each is trained by one living process at most.

A trial is running in the database from the moment it is drawn to its outcome, and its worker holds a lock (`filelock`)
that the system releases when the process dies. Trials are drawn and locked under one lock of the sweep. So the worker
of a running trial without a lock has died or was interrupted, and the next free worker continues its run. Optuna's own
heartbeat would make a new trial of it, and may take a living one for dead (github.com/optuna/optuna/issues/4234).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lorae.errors import MODEL_FAILURES
from lorae.sweeps.definition import Definition, SweepFolder, space_of
from lorae.sweeps.space import key_of
from lorae.sweeps.storage import reaching, sampler_of

if TYPE_CHECKING:
    from filelock import FileLock
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

# Deaths of workers at one checkpoint of a trial after which it counts as failed: the third try would die as well.
MOST_DEATHS = 3


@dataclass
class Claim:
    """A trial that this process has: its number, values and seed, and the lock, which is released at its end."""

    trial: "Trial"
    number: int
    parameters: dict[str, Any]
    seed: int
    lock: "FileLock"
    deaths: int = 0


class Queue:
    """The trials of a sweep, as one process sees them."""

    def __init__(self, folder: SweepFolder, definition: Definition, study: "Study", url: str) -> None:
        self.folder, self.definition, self.study, self._url = folder, definition, study, url
        self.space = space_of(definition)

    def plan(self) -> None:
        """Make the trials of a grid that are missing; trials of other sweeps are drawn one by one."""
        if self.definition["trials"] is not None:
            return
        with self.folder.deciding(), reaching(self._url):
            known = {(key_of(found.user_attrs["parameters"]), found.user_attrs["seed"]) for found in self._trials()}
            for seed in self.definition["seeds"]:  # the first seed of all cells first
                for cell in self.space.cells():
                    if (key_of(cell), seed) not in known:
                        self.study.enqueue_trial(cell, user_attrs={"parameters": cell, "seed": seed})

    def retry(self) -> None:
        """Let failed trials be trained once more, except for those whose model diverged or collapsed."""
        outcomes = tuple(f"{failure.outcome}:" for failure in MODEL_FAILURES)
        with self.folder.deciding(), reaching(self._url):
            for found in self._trials():
                values = found.user_attrs
                failed = found.state.name == "FAIL" and "same_as" not in values
                if failed and not values.get("reason", "").startswith(outcomes):
                    again = {"parameters": values["parameters"], "seed": values["seed"]}
                    self.study.enqueue_trial(values["parameters"], user_attrs=again)

    def take(self) -> Claim | None:
        """Return a trial for this process: one whose worker is gone, else a new one; None if there is none now."""
        with self.folder.deciding(), reaching(self._url):
            return self._left_trial() or self._new_trial()

    def finished(self) -> bool:
        """Return whether every trial has its outcome and none is to be made."""
        with self.folder.deciding(), reaching(self._url):
            trials = self._trials()
            return not any(found.state.name in ("RUNNING", "WAITING") for found in trials) and (
                self.definition["trials"] is None or self._next(trials) is None
            )

    def _trials(self) -> "Sequence[FrozenTrial]":
        """Return the trials that count: with values and a seed, and not trained once more after a failure."""
        return counted(self.study)

    def _left_trial(self) -> Claim | None:
        from optuna.trial import Trial, TrialState

        for found in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            lock = self.folder.claim(found.number)
            if lock is None:
                continue
            if self.study.get_trials(deepcopy=False)[found.number].state.is_finished():  # since they were listed
                lock.release()
                continue
            if not {"parameters", "seed"} <= found.user_attrs.keys():  # nothing was trained
                self.study.tell(found.number, state=TrialState.FAIL)
                lock.release()
                continue
            values = found.user_attrs
            claim = Claim(Trial(self.study, found._trial_id), found.number, values["parameters"], values["seed"], lock)
            if not values.get("interrupted"):
                claim.deaths = self._count_death(claim, values)
            claim.trial.set_user_attr("interrupted", False)
            return claim
        return None

    def _count_death(self, claim: Claim, values: Mapping[str, Any]) -> int:
        """Return how many workers of a trial have died at its last checkpoint, with the one that left it now."""
        checkpoint = self.folder.run_path(claim.number) / "checkpoints" / "last.pt"
        place = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
        before, count = values.get("deaths") or (None, 0)
        deaths = count + 1 if before == place else 1
        claim.trial.set_user_attr("deaths", (place, deaths))
        return deaths

    def _new_trial(self) -> Claim | None:
        while True:
            trials = self._trials()
            waiting = any(found.state.name == "WAITING" for found in trials)
            chosen = None if waiting or self.definition["trials"] is None else self._next(trials)
            if not waiting and chosen is None:
                return None
            parameters, seed = chosen or (None, 0)
            if parameters is not None:
                self.study.enqueue_trial(parameters, user_attrs={"parameters": parameters, "seed": seed})
            self.study.sampler = sampler_of(self.definition, len(self.study.get_trials(deepcopy=False)))
            trial = self.study.ask(self.space.distributions())
            lock = self.folder.claim(trial.number)
            assert lock is not None  # of a number that no process knows yet
            drawn = "parameters" not in trial.user_attrs
            if drawn:
                trial.set_user_attr("seed", self.definition["seeds"][0])
                trial.set_user_attr("parameters", trial.params)
            claim = Claim(trial, trial.number, trial.user_attrs["parameters"], trial.user_attrs["seed"], lock)
            if not (drawn and self._known_outcome(claim, trials)):
                return claim
            lock.release()

    def _next(self, trials: "Sequence[FrozenTrial]") -> tuple[dict[str, Any] | None, int] | None:
        """Return values and seed of the next trial, no values if they are to be drawn; None at the end of a sweep.

        A setting is trained with its next seed if all before were trained to the end. So many trials are kept for the
        settings that have begun.
        """
        seeds, most = self.definition["seeds"], self.definition["trials"]
        assert most is not None
        settings: dict[str, list[FrozenTrial]] = {}
        for found in trials:
            settings.setdefault(key_of(found.user_attrs["parameters"]), []).append(found)
        kept = 0
        following = None
        for group in settings.values():
            left = [seed for seed in seeds if seed not in {found.user_attrs["seed"] for found in group}]
            states = {found.state.name for found in group}
            if states <= {"COMPLETE", "RUNNING", "WAITING"}:
                kept += len(group) + len(left)
                if left and states == {"COMPLETE"} and following is None:
                    following = dict(group[0].user_attrs["parameters"]), left[0]
            else:
                kept += len(group)
        if following is not None:
            return following
        return (None, seeds[0]) if kept + len(seeds) <= most else None

    def _known_outcome(self, claim: Claim, trials: "Sequence[FrozenTrial]") -> bool:
        """Give a trial the outcome of an earlier one with its values and seed, which would be the same."""
        same = [
            found
            for found in trials
            if found.state.is_finished()
            and found.user_attrs["seed"] == claim.seed
            and key_of(found.user_attrs["parameters"]) == key_of(claim.parameters)
        ]
        if not same:
            return False
        earlier = same[0]
        claim.trial.set_user_attr("same_as", earlier.user_attrs.get("same_as", earlier.number))
        for step, value in earlier.intermediate_values.items():
            claim.trial.report(value, step)
        for name, value in earlier.constraints.items():
            claim.trial.set_constraint(name, value)
        values = earlier.values if earlier.state.name == "COMPLETE" else None
        self.study.tell(claim.number, values, state=earlier.state)
        return True


def counted(study: "Study") -> "list[FrozenTrial]":
    """Return the trials of a study that count, in the order of their numbers.

    One without values is of a death while it was made; a failed one does not count once it is tried again.
    """
    latest: dict[tuple[str, int], int] = {}
    found = [trial for trial in study.get_trials(deepcopy=False) if {"parameters", "seed"} <= trial.user_attrs.keys()]
    for trial in found:
        latest[key_of(trial.user_attrs["parameters"]), trial.user_attrs["seed"]] = trial.number
    return [
        trial
        for trial in found
        if trial.state.name != "FAIL"
        or latest[key_of(trial.user_attrs["parameters"]), trial.user_attrs["seed"]] == trial.number
    ]


def cells(definition: Definition) -> int | None:
    """Return the number of trainings of the grid of a sweep's settings; None with a range, which has no grid."""
    space = space_of(definition)
    return space.size * len(definition["seeds"]) if space.finite else None
