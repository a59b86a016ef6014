"""Options of a sweep besides the settings that it searches, with their defaults. This module imports no torch."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lorae import validation as rules
from lorae.validation import setting

# Measures that a sweep can make small, all of held-out training items.
OBJECTIVES = ("error", "rank", "fid")
SAMPLERS = ("auto", "grid", "tpe", "nsgaii", "random")
PRUNERS = ("auto", "median", "hyperband", "none")
# `processes` are those of this machine; the others are executors of submitit.
EXECUTORS = ("processes", "slurm", "local", "debug")


def _parameters() -> rules.Rule:
    """Return the rule of NAME=VALUE,NAME=VALUE, or a mapping."""

    def parse(value: Any) -> dict[str, Any]:
        if isinstance(value, str):
            pairs = [part.partition("=") for part in value.split(",")]
            if not all(name.strip() and equals for name, equals, _ in pairs):
                raise ValueError
            value = {name.strip(): number.strip() for name, _, number in pairs}
        if not isinstance(value, Mapping) or not value:
            raise ValueError
        return {str(name): _plain(part) for name, part in value.items()}

    return rules.Rule("NAME=VALUE pairs with commas between them, such as partition=gpu,timeout_min=120", parse)


def _plain(text: Any) -> Any:
    """Return the number in a text, or the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Options of a sweep; the settings of its trainings are those of `lorae.config.settings.Settings`."""

    seeds: tuple[int, ...] | None = setting(
        None, rules.whole_numbers(0, 2**31 - 1), "seeds of each setting, with commas between them; 0 by default"
    )
    trials: int | None = setting(
        None,
        rules.whole(1),
        "largest number of trainings, of which a setting takes one for each seed unless the first is pruned. Needed "
        "for ranges; lists alone are a grid without it",
    )
    objective: tuple[str, ...] = setting(
        ("error",),
        rules.names_of(*OBJECTIVES),
        "measures of held-out training items to make small: error, rank or fid, or several with commas between them",
    )
    max_rank: int | None = setting(None, rules.whole(1), "largest rank of a setting that counts as a solution")
    max_error: float | None = setting(
        None, rules.real(0.0, exclusive=True), "largest held-out error of a setting that counts as a solution"
    )
    sampler: str = setting(
        "auto",
        rules.choice(*SAMPLERS),
        "choice of the next setting; auto: grid for lists without a number of trials, else tpe, which learns from the "
        "first ten trials, where nsgaii draws 50 at random",
    )
    pruner: str = setting(
        "auto",
        rules.choice(*PRUNERS),
        "end of trainings with a large held-out error; auto: median for one objective, error, that is no grid and "
        "chooses no rank; else none",
    )
    workers: int | None = setting(
        None, rules.whole(1), "processes that train, or jobs of submitit; one for each core by default, one on a GPU"
    )
    threads: int | None = setting(
        None,
        rules.whole(1),
        "threads of a worker; 1 by default, so that results do not depend on the number of workers, and with submitit "
        "as many as the job has cores",
    )
    storage: str | None = setting(
        None,
        rules.text(),
        "URL of the database, such as postgresql://user@host/name for several machines; by default OUT/study.db",
    )
    executor: str = setting(
        "processes",
        rules.choice(*EXECUTORS),
        "processes of this machine, or an executor of submitit: slurm, local or debug",
    )
    slurm: dict[str, Any] | None = setting(
        None, _parameters(), "parameters of submitit, such as partition=gpu,timeout_min=120; implies --executor slurm"
    )

    @classmethod
    def from_values(cls, values: Mapping[str, Any], origin: Callable[[str], str]) -> "SweepOptions":
        """Check plain values, strings as on a command line too; `origin` maps a name to the source of its value."""
        return rules.checked(cls, values, origin)


OPTION_NAMES = tuple(field.name for field in dataclasses.fields(SweepOptions))
