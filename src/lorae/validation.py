"""Rules that check and parse settings from a command line, a YAML file or Python, and tables of settings."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from lorae.errors import LoraeError, did_you_mean, shown, unknown_name

Table = TypeVar("Table")

# Whole numbers are sizes, counts and seeds, of which arrays and torch take no larger ones.
LARGEST_WHOLE = 2**63 - 1
INVALID = (ValueError, TypeError, OverflowError)


@dataclass(frozen=True)
class Rule:
    """A rule of a setting: `expected` describes valid values, `parse` raises one of INVALID for others.

    choices: names that are valid; all that are if `closed`
    several: whether a value is a list of names, in a string with commas between them
    """

    expected: str
    parse: Callable[[Any], Any]
    choices: tuple[str, ...] = ()
    several: bool = False
    closed: bool = True

    def check(self, name: str, value: Any, origin: str) -> Any:
        """Return the parsed value, or raise a LoraeError that names the setting, the value, the rule and the origin."""
        try:
            return self.parse(value)
        except LoraeError as error:  # a part of the value has a rule of its own
            message = str(error)
        except INVALID:
            message = f"{name}: got {shown(value)}, expected {self.expected}"
        raise LoraeError(f"{message} (from {origin}){did_you_mean(value, self.choices)}", argument=name)


def _require(valid: bool) -> None:
    if not valid:
        raise ValueError


def _number(value: Any) -> float:
    """Return a number from a number or its text; True and False are none here."""
    _require(not isinstance(value, bool))
    return float(value)


def whole(minimum: int, maximum: float = math.inf) -> Rule:
    """Return the rule of whole numbers from `minimum` to `maximum`."""

    def parse(value: Any) -> int:
        number = _number(value)
        _require(number.is_integer() and minimum <= number <= min(maximum, LARGEST_WHOLE))
        return int(number)

    upper = "" if math.isinf(maximum) else f" and at most {maximum}"
    return Rule(f"a whole number of at least {minimum}{upper}", parse)


def whole_numbers(minimum: int, maximum: float = math.inf) -> Rule:
    """Return the rule of a list of different whole numbers, or of one comma-separated string."""
    number = whole(minimum, maximum)

    def parse(value: Any) -> tuple[int, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        result = tuple(map(number.parse, parts if isinstance(parts, (list, tuple)) else [parts]))
        _require(bool(result) and len(set(result)) == len(result))
        return result

    return Rule(f"different whole numbers of at least {minimum} with commas between them", parse, several=True)


def whole_or(minimum: int, word: str) -> Rule:
    """Return the rule of whole numbers from `minimum`, or one word."""
    number = whole(minimum)
    return Rule(f"{number.expected}, or {word}", lambda value: word if value == word else number.parse(value))


def real(minimum: float, maximum: float = math.inf, *, exclusive: bool = False) -> Rule:
    """Return the rule of finite numbers from `minimum` to `maximum`, without the ends when `exclusive`."""

    def parse(value: Any) -> float:
        number = _number(value)
        _require(math.isfinite(number) and minimum <= number <= maximum)
        _require(not exclusive or number not in (minimum, maximum))
        return number

    if math.isinf(maximum):
        return Rule(f"a number {'above' if exclusive else 'of at least'} {minimum:g}", parse)
    words = f"between {minimum:g} and {maximum:g}" if exclusive else f"from {minimum:g} to {maximum:g}"
    return Rule(f"a number {words}", parse)


def one_of(*numbers: int) -> Rule:
    """Return the rule of one of a few whole numbers."""

    def parse(value: Any) -> int:
        number = _number(value)
        _require(number in numbers)
        return int(number)

    return Rule(" or ".join(map(str, numbers)), parse)


def choice(*names: str) -> Rule:
    """Return the rule of one of a list of names."""

    def parse(value: Any) -> str:
        _require(value in names)
        return str(value)

    return Rule("one of " + ", ".join(names), parse, names)


def choice_or_function(*names: str) -> Rule:
    """Return the rule of one of a list of names, or the address FILE.py:NAME of a function."""

    def parse(value: Any) -> str:
        file, _, name = str(value).rpartition(":")
        _require(value in names or (file.endswith(".py") and name.isidentifier()))
        return str(value)

    return Rule(
        f"one of {', '.join(names)}, or FILE.py:NAME of a function (shape, latent_dim)", parse, names, closed=False
    )


def text() -> Rule:
    """Return the rule of strings that are not empty; a pathlib.Path is taken as its string."""

    def parse(value: Any) -> str:
        result = str(value)
        _require(bool(result) and not isinstance(value, (bool, int, float, list, dict)))
        return result

    return Rule("a name or a path", parse)


def switch() -> Rule:
    """Return the rule of true or false, as values or as words."""
    words = {"true": True, "false": False, "yes": True, "no": False}

    def parse(value: Any) -> bool:
        word = str(value).lower()
        _require(isinstance(value, (bool, str)) and word in words)
        return words[word]

    return Rule("true or false", parse)


def names(*known: str) -> Rule:
    """Return the rule of a list of names, or of one comma-separated string; some names are known."""

    def parse(value: Any) -> tuple[str, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        result = tuple(str(part).strip() for part in parts)
        _require(bool(result) and all(result))
        return result

    return Rule("names with commas between them", parse, known, several=True, closed=False)


def names_of(*known: str) -> Rule:
    """Return the rule of a list of known names, or of one comma-separated string."""

    def parse(value: Any) -> tuple[str, ...]:
        result: tuple[str, ...] = names().parse(value)
        _require(all(name in known for name in result))
        return result

    return Rule(f"some of {', '.join(known)}", parse, known, several=True)


def optional(rule: Rule) -> Rule:
    """Return the rule that accepts None as well."""
    return dataclasses.replace(rule, parse=lambda value: None if value is None else rule.parse(value))


def mapping(title: str, words: str, known: Callable[[], list[str]], rule_of: Callable[[str], Rule]) -> Rule:
    """Return the rule of mappings from known names to values, each checked by the rule of its name.

    In messages it is called `title` and described by `words`.
    """

    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise TypeError
        for name in value:
            if name not in known():
                raise unknown_name(title, name, known())
        return {str(name): parse_item(name, part) for name, part in value.items()}

    def parse_item(name: str, part: Any) -> Any:
        try:
            return rule_of(name).parse(part)
        except INVALID:
            raise LoraeError(f"{title}.{name}: got {shown(part)}, expected {rule_of(name).expected}") from None

    return Rule(f"a mapping from {words}", parse)


def wanted_rank() -> Rule:
    """Return the rule of a rank, as PCA's `n_components`: a whole number, a share of the variance, or `auto`."""

    def parse(value: Any) -> int | float | str:
        if value == "auto":
            return "auto"
        number = _number(value)
        _require(0 < number < 1 or (number >= 1 and number.is_integer()))
        # 1.0: all of the variance, or one direction?
        _require(number != 1 or str(value) == "1")
        return int(number) if number >= 1 else number

    return Rule("a positive whole number, a share of the variance between 0 and 1, or auto", parse)


def interval() -> Rule:
    """Return the rule of LOW:HIGH, the ends of an interval of numbers."""

    def parse(value: Any) -> tuple[float, float]:
        low, high = map(_number, value.split(":") if isinstance(value, str) else value)
        _require(-math.inf < low < high < math.inf)
        return low, high

    return Rule("LOW:HIGH with two numbers, LOW < HIGH", parse)


def ascending_range(default_count: int) -> Rule:
    """Return the rule of LOW:HIGH or LOW:HIGH:POINTS, a range of positive numbers and its number of points."""

    def parse(value: Any) -> tuple[float, float, int]:
        low, high, *rest = value.split(":") if isinstance(value, str) else value
        (count,) = rest or [default_count]
        _require(0 < float(low) < float(high) < math.inf and int(count) >= 2)
        return float(low), float(high), int(count)

    return Rule("LOW:HIGH or LOW:HIGH:POINTS with 0 < LOW < HIGH and at least 2 points", parse)


def setting(default: Any, rule: Rule, meaning: str) -> Any:
    """Return a dataclass field with a rule and a meaning: flags, YAML keys and arguments are made from it.

    A default of None accepts None beside the values of the rule.
    """
    metadata = {"rule": optional(rule) if default is None else rule, "meaning": meaning}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def checked(cls: type[Table], values: Mapping[str, Any], origin: Callable[[str], str]) -> Table:
    """Check plain values by their rules and return a table of settings; `origin(name)` is the source of a value.

    Raises LoraeError, one line, for an unknown name or a value outside its rule.
    """
    rules = {field.name: field.metadata["rule"] for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in rules:
            hint = did_you_mean(str(name).replace("-", "_"), rules)
            raise LoraeError(f"{name}: unknown setting (from {origin(name)}){hint}", argument=name)
    return cls(**{name: rules[name].check(name, value, origin(name)) for name, value in values.items()})
