"""The settings of a sweep: fixed ones, lists of choices, and ranges, as on the command line of `lorae train`."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lorae.config.data_settings import DataSettings
from lorae.config.settings import Settings, use_current_names
from lorae.errors import LoraeError, did_you_mean, shown
from lorae.validation import Rule

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Origin = Callable[[str], str]

# Settings that are mappings, whose parts are searched by names such as `penalties.l1`.
MAPPINGS = ("penalties", "bottleneck")
# Colons are a part of these values.
WITH_COLONS = ("network", "penalty_path")
# Settings of the data, whose errors do not compare, and trackers, of which a run may have several.
FIXED = (*DataSettings.__dataclass_fields__, "track")


@dataclass(frozen=True)
class Choices:
    """Values to choose from, plain ones of JSON."""

    values: tuple[Any, ...]

    def ends(self) -> tuple[Any, ...]:
        """Return the values."""
        return self.values

    def to_json(self) -> dict[str, Any]:
        """Return the choices as plain JSON values."""
        return {"choices": list(self.values)}

    def distribution(self) -> "BaseDistribution":
        """Return the choices for Optuna."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def __str__(self) -> str:
        return ",".join(map(str, self.values))


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, which are drawn alike on a linear or a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    def ends(self) -> tuple[Any, ...]:
        """Return both ends."""
        return self.low, self.high

    def to_json(self) -> dict[str, Any]:
        """Return the range as plain JSON values."""
        return {"low": self.low, "high": self.high, "log": self.log}

    def distribution(self) -> "BaseDistribution":
        """Return the range for Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}{':log' if self.log else ''}"


@dataclass(frozen=True)
class Space:
    """Fixed settings, and those that a sweep searches, by name; a part of a mapping is named `penalties.l1`."""

    fixed: dict[str, Any]
    searched: dict[str, Choices | Range]

    @property
    def finite(self) -> bool:
        """Whether all settings are lists, so that there is a grid."""
        return all(isinstance(values, Choices) for values in self.searched.values())

    @property
    def size(self) -> int:
        """Number of combinations of choices, and of the ends of ranges."""
        total = 1
        for values in self.searched.values():
            total *= len(values.ends())
        return total

    def cells(self) -> Iterator[dict[str, Any]]:
        """Yield every combination of choices, and of the ends of ranges."""
        names = list(self.searched)
        for values in itertools.product(*(self.searched[name].ends() for name in names)):
            yield dict(zip(names, values, strict=True))

    def distributions(self) -> "dict[str, BaseDistribution]":
        """Return the searched settings for Optuna."""
        return {name: values.distribution() for name, values in self.searched.items()}

    def settings(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a training with some values of the searched ones, as `lorae.train` takes them."""
        merged: dict[str, Any] = {}
        for name, value in (self.fixed | dict(parameters)).items():
            outer, dot, part = name.partition(".")
            if dot:
                merged.setdefault(outer, {})[part] = value
            else:
                merged[name] = value
        return merged


def key_of(parameters: Mapping[str, Any]) -> str:
    """Return a text that is the same for equal values of the searched settings."""
    return json.dumps(dict(parameters), sort_keys=True)


def parse_space(values: Mapping[str, Any], origin: Origin) -> Space:
    """Parse settings: `a,b` and lists are choices, `LOW:HIGH` and `LOW:HIGH:log` ranges, others are fixed.

    Each value is checked by the rule of its setting; LoraeError names its origin.
    """
    fixed: dict[str, Any] = {}
    searched: dict[str, Choices | Range] = {}
    for name, value in _parts(use_current_names(values), origin):
        if value is None:
            continue
        found = _parse(name, value, origin)
        if isinstance(found, (Choices, Range)):
            searched[name] = found
        else:
            fixed[name] = found
    return Space(fixed, searched)


def _parts(values: Mapping[str, Any], origin: Origin) -> Iterator[tuple[str, Any]]:
    """Yield settings by name, and the parts of mappings by theirs."""
    known = Settings.__dataclass_fields__
    for name, value in values.items():
        if name not in known:
            hint = did_you_mean(str(name).replace("-", "_"), known)
            raise LoraeError(f"{name}: unknown setting (from {origin(name)}){hint}", argument=name)
        if name in MAPPINGS and isinstance(value, Mapping):
            yield from ((f"{name}.{part}", number) for part, number in value.items())
        else:
            yield name, value


def _check(name: str, value: Any, origin: Origin) -> Any:
    """Return a value by the rule of its setting; LoraeError otherwise."""
    outer, dot, part = name.partition(".")
    rule: Rule = Settings.__dataclass_fields__[outer].metadata["rule"]
    return rule.check(outer, {part: value}, origin(outer))[part] if dot else rule.check(name, value, origin(name))


def _parse(name: str, value: Any, origin: Origin) -> Any:
    """Return the choices or the range that a value stands for, or the value of a fixed setting."""
    if name in FIXED:
        several = value.split(",") if isinstance(value, str) else value
        rule = Settings.__dataclass_fields__[name].metadata["rule"]
        if isinstance(several, (list, tuple)) and len(several) > 1 and not rule.several and name != "value_range":
            raise LoraeError(
                f"{name}: got {shown(value)}, expected one value: errors on other data do not compare "
                f"(from {origin(name)})",
                argument=name,
            )
        _check(name, value, origin)
        return list(value) if isinstance(value, tuple) else value
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list) and not (isinstance(listed, tuple) and name != "penalty_path"):
        listed = [value]
    if len(listed) == 1:
        found = None if name in WITH_COLONS else _parse_range(name, listed[0], origin)
        return _plain(listed[0], _check(name, listed[0], origin)) if found is None else found
    choices = tuple(_plain(part, _check(name, part, origin)) for part in listed)
    if not choices or len(set(map(str, choices))) < len(choices):
        raise LoraeError(
            f"{name}: got {shown(value)}, expected different values with commas between them (from {origin(name)})",
            argument=name,
        )
    return Choices(choices)


def _plain(given: Any, parsed: Any) -> Any:
    """Return a checked value as Optuna and JSON take it: itself, or for a sequence the text that it was given as."""
    if parsed is None or isinstance(parsed, (bool, int, float, str)):
        return parsed
    return given if isinstance(given, str) else ":".join(map(str, parsed))


def _parse_range(name: str, value: Any, origin: Origin) -> Range | None:
    """Return the range LOW:HIGH or LOW:HIGH:log; None for any other value, whose rule says what is expected."""
    if not isinstance(value, str) or ":" not in value:
        return None
    low_text, high_text, *rest = value.split(":")
    try:
        float(low_text), float(high_text)
    except ValueError:
        return None
    low, high = _check(name, low_text, origin), _check(name, high_text, origin)
    if rest not in ([], ["log"]) or not low < high or (rest and not low > 0):
        raise LoraeError(
            f"{name}: got {shown(value)}, expected LOW:HIGH or LOW:HIGH:log with LOW < HIGH, above 0 for log "
            f"(from {origin(name)})",
            argument=name,
        )
    if isinstance(low, int) != isinstance(high, int):  # as of a rank from a share to a number
        raise LoraeError(
            f"{name}: got {shown(value)}, expected two whole numbers or two fractions (from {origin(name)})",
            argument=name,
        )
    return Range(low, high, bool(rest))
