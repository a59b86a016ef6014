"""Arguments of the command line: flags of settings, hints for mistakes, warnings in one line."""

import argparse
import dataclasses
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from lorae.cli.completion import suggest
from lorae.cli.output import one_line
from lorae.config.data_settings import DataSettings
from lorae.config.methods import TERMS, option_names, weight_names
from lorae.config.settings import RENAMED, Settings
from lorae.errors import LoraeError, LoraeWarning, as_flags, did_you_mean, flag
from lorae.penalties import all_penalties
from lorae.runs.run import Run

# Flags of `lorae train` and `lorae data`; `data` itself is an argument without a flag.
DATA_SETTINGS = tuple(field.name for field in dataclasses.fields(DataSettings) if field.name != "data")


def _weights() -> dict[str, str]:
    summaries = {penalty.name: penalty.summary for penalty in all_penalties().values()} | TERMS
    return {name: f"weight of: {summaries.get(name, 'a term of an installed method')}" for name in weight_names()}


MEANING_OF_DATA = Settings.__dataclass_fields__["data"].metadata["meaning"]

# Choices that fit a line of help; more have a command that lists them.
MOST_LISTED = 6

# Settings that are mappings: a flag for each part, with its meaning.
PARTS: dict[str, Callable[[], dict[str, str]]] = {
    "penalties": _weights,
    "bottleneck": lambda: {name: f"option {name} of the method's bottleneck" for name in option_names()},
}


def show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any
) -> None:
    """Print a LoraeWarning as one line, and any other warning as Python does."""
    if isinstance(message, LoraeWarning):
        print(f"lorae: warning: {one_line(as_flags(message))}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno), file=sys.stderr, end="")


class Parser(argparse.ArgumentParser):
    """A parser that raises LoraeError, as for every other invalid input."""

    def error(self, message: str) -> NoReturn:
        """Raise LoraeError; for an unknown option or command, suggest the most similar known one."""
        option = re.match(r"unrecognized arguments: (\S+)", message)
        command = re.match(r"argument COMMAND: invalid choice: '(.*?)' \(choose", message)
        if option:
            known = [name for action in self._actions for name in action.option_strings]
            message = f"{option[1]}: unknown option of `{self.prog}`{self._hint(option[1].split('=')[0], known)}"
        elif command:
            known = [name for action in self._actions for name in action.choices or ()]
            message = f"{command[1]}: unknown command{self._hint(command[1], known)}"
        raise LoraeError(message)

    def _hint(self, got: str, known: list[str]) -> str:
        return did_you_mean(got, known) or f"; see `{self.prog} --help`"

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse unknown options."""
        # A subcommand reports its own unknown options, so that the hint comes from its own list.
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown


def add_moved_data(
    parser: argparse.ArgumentParser, meaning: str = "where the data of the run are now, if moved"
) -> None:
    """Add the flag of the data of a run, for commands that need them."""
    parser.add_argument("--data", metavar="PATH", help=meaning)


def add_settings(
    parser: argparse.ArgumentParser, names: Sequence[str], table: type[Any] = Settings, title: str = "settings"
) -> None:
    """Add a flag for each setting of a table; values stay strings, and flags that are not given leave no attribute."""
    group = parser.add_argument_group(title)
    for name in names:
        field = table.__dataclass_fields__[name]
        if name in PARTS:
            for part, meaning in PARTS[name]().items():
                text = meaning.replace("%", "%%")
                group.add_argument(f"--{name}.{part}", metavar="W", default=argparse.SUPPRESS, help=text)
            continue
        rule, default = field.metadata["rule"], field.default
        words = ",".join(default) if isinstance(default, tuple) else default
        shown = "" if default is None or default is False else f" (default: {words})"
        options: dict[str, Any] = {
            "dest": name,
            "default": argparse.SUPPRESS,
            "help": f"{field.metadata['meaning']}{shown}".replace("%", "%%"),
        }
        if default is False:
            options["action"] = "store_true"
        else:
            listed = 0 < len(rule.choices) <= MOST_LISTED and rule.closed and not rule.several
            options["metavar"] = "{" + ",".join(rule.choices) + "}" if listed else name.upper()
        suggest(group.add_argument(flag(name), **options), rule.choices, several=rule.several)
        for old in (old for old, new in RENAMED.items() if new == name):
            group.add_argument(f"--{old}", **options | {"dest": old, "help": argparse.SUPPRESS})


def settings_of(options: argparse.Namespace, table: type[Any] = Settings) -> dict[str, Any]:
    """Return the settings of a table that were given as flags."""
    given = vars(options)
    known = (*(field.name for field in dataclasses.fields(table)), *RENAMED)
    settings = {name: given[name] for name in known if name in given}
    settings.pop("data", None)
    for name in PARTS:
        parts = {key.split(".", 1)[1]: value for key, value in given.items() if key.startswith(f"{name}.")}
        settings |= {name: parts} if parts else {}
    return settings


def run_of(options: argparse.Namespace) -> Run:
    """Return the run that a command is given, with the permission to import its file if the flag is."""
    return Run(options.run, trust_code=options.trust_code)


def join_negative_numbers(words: Sequence[str]) -> list[str]:
    """Turn `--penalty -1e-3` into `--penalty=-1e-3`: argparse would take the number for an option."""
    joined: list[str] = []
    for word in words:
        if re.match(r"-(\d|\.\d|inf|nan)", word) and joined and re.match(r"--?[a-z][^=]*$", joined[-1]):
            joined[-1] += f"={word}" if joined[-1].startswith("--") else word
        else:
            joined.append(word)
    return joined
