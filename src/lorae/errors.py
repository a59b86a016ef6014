"""Exceptions and warnings, of which studies record those of models that fail, and the commands that they advise."""

import difflib
import os
import reprlib
import shlex
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class Advice(Exception):  # noqa: N818 - the part of errors and warnings that names settings
    """A message that names settings as Python does, `size=40`; `as_flags` gives it as the command line does.

    message: one line
    argument: setting whose value the message is about; `(from argument size)` in the message becomes `(from --size)`
    settings: settings that the message suggests, as `name=value` in its text. A mapping has one entry. A value in
        capitals is a placeholder.
    """

    def __init__(
        self, message: object = "", *, argument: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.argument = argument
        self.settings = dict(settings or {})


class LoraeError(Advice):
    """Invalid user input: one line that names the value, what was expected, and where the value came from.

    Examples
    --------
    >>> import lorae
    >>> try:
    ...     lorae.plan("shapes-grey", penalty=-1)
    ... except lorae.LoraeError as error:
    ...     print(error)
    penalty: got -1, expected a number of at least 0 (from argument penalty)
    """


class NotApplicableError(LoraeError):
    """A measure that the data or the machine do not allow: it is skipped, and the others are taken."""


class MissingDataError(LoraeError):
    """Data of a run that are no longer where they were, or that were an array in memory."""


class DivergedError(LoraeError):
    """Training whose loss or weights are no longer finite."""

    outcome = "diverged"


class CollapsedError(LoraeError):
    """A model that maps all items to one latent: no density can be fitted, and no direction kept."""

    outcome = "collapsed"


# Results of a training, not mistakes of the user: a study records them under `outcome` and continues.
MODEL_FAILURES = (DivergedError, CollapsedError)


class LoraeWarning(Advice, UserWarning):
    """A result to interpret with care: one line with the numbers, printed without its place by the command line."""


class ExplainedVarianceWarning(LoraeWarning):
    """A model that keeps less of the variance than PCA of its rank, or under half; studies record it instead."""


def did_you_mean(got: object, known: Iterable[str]) -> str:
    """Return the end of a message that suggests the known name most like a mistyped one; empty if none is like it.

    >>> did_you_mean("mnits", ["celeba", "mnist"])
    '; did you mean mnist?'
    """
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(got)[:100].lower(), names, n=1)
    return f"; did you mean {names[near[0]]}?" if near else ""


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist, _SHORT.maxtuple = 4, 8, 8, 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 120


def shown(value: object) -> str:
    """Return a value as in its `repr`, the middle of a long one left out, for a message in one line.

    >>> shown("a" * 1000) == repr("a" * 57 + "..." + "a" * 58)
    True
    """
    try:
        return " ".join(_SHORT.repr(value).split(maxsplit=200))[:300]
    except ValueError:  # a whole number of more digits than Python turns into text
        return "a number of thousands of digits"


def unknown_name(
    title: str, got: object, known: Iterable[str], *, several: bool = False, ending: str = ""
) -> LoraeError:
    """Return the error for a name that is none of the known ones, with the most similar of these."""
    names = list(known)
    expected = f"expected {'some' if several else 'one'} of {', '.join(names)}{ending}"
    return LoraeError(f"{title}: got {shown(got)}, {expected}{did_you_mean(got, names)}")


def as_flags(message: Advice) -> str:
    """Return a message with its settings as flags of the command line.

    >>> as_flags(LoraeError("size: got 20; pass size=24", settings={"size": 24}))
    'size: got 20; pass --size 24'
    """
    text = str(message)
    if message.argument is not None:
        text = text.replace(f"(from argument {message.argument})", f"(from {flag(message.argument)})")
    for name, value in message.settings.items():
        if isinstance(value, Mapping):
            ((part, number),) = value.items()
            given = f"{flag(name)}.{part} {number}"
        else:
            given = flag(name) if value is True else f"{flag(name)} {value}"
        for written in (f"{name}={value!r}", f"{name}={value}"):
            text = text.replace(written, given)
    return text


def flag(name: str) -> str:
    """Return the flag of a setting on the command line."""
    return f"--{name.replace('_', '-')}"


def shell_command(command: str, path: str | Path) -> str:
    """Return a command of `lorae` on a run folder, as it can be pasted into a shell; `command` may have options.

    >>> print(shell_command("resume", "runs/it's"))
    lorae resume 'runs/it'"'"'s'
    """
    name = f"./{path}" if str(path).startswith("-") else str(path)  # no option
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8, which Python writes as lone surrogates
        readable = "".join(chr(byte) if chr(byte) in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(name))
        return f"lorae {command} $'{readable}'"
    return shlex.join(["lorae", *command.split(), name])


# Characters that mean themselves in bash's $'...'.
_PLAIN = string.ascii_letters + string.digits + "/._-+=,@ "
