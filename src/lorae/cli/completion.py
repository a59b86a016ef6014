"""Completion in shells, by argcomplete: which values an argument suggests, and the command that prints the scripts."""

import argparse
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lorae.cli.output import Output
from lorae.errors import unknown_name

SHELLS = ("bash", "zsh", "fish")

# Arguments with these placeholders take paths; all others that suggest nothing take numbers or free text.
FOLDERS = ("RUN", "RUN2", "FOLDER")
FILES = ("A", "B", "DATA", "FILE", "FILE.html", "FILE.png", "FILE.yaml", "OUT", "PATH")


@dataclass(frozen=True)
class Suggestions:
    """Words that an argument suggests; `several` of them may be given with commas between them."""

    words: tuple[str, ...]
    several: bool = False

    def __call__(self, prefix: str, **_: Any) -> Iterable[str]:
        """Return what the begun word may become; argcomplete keeps those that begin with it."""
        given, comma, _begun = prefix.rpartition(",") if self.several else ("", "", prefix)
        return [f"{given}{comma}{word}" for word in self.words if word not in given.split(",")]


def suggest(action: argparse.Action, words: Iterable[str], *, several: bool = False) -> None:
    """Let shells suggest words for the value of an argument, beside the paths that its placeholder stands for."""
    action.suggestions = Suggestions(tuple(words), several)  # type: ignore[attr-defined]


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `add(name, function, meaning)` makes a subparser."""
    meaning = "print the script that lets a shell complete commands, options and values"
    completion = add("completion", _completion, meaning)
    suggest(completion.add_argument("shell", metavar="SHELL", help=f"one of {', '.join(SHELLS)}"), SHELLS)


def _completion(options: argparse.Namespace) -> Output:
    if options.shell not in SHELLS:
        raise unknown_name("shell", options.shell, SHELLS)
    from argcomplete.shell_integration import shellcode

    script = shellcode(["lorae"], shell=options.shell)
    return {"shell": options.shell, "script": script}, [script]


def complete_if_asked(parser: argparse.ArgumentParser) -> None:
    """Print completions and end the process, if a script of `lorae completion` started it; else do nothing."""
    if "_ARGCOMPLETE" not in os.environ:  # argcomplete is not imported, so that commands start as fast as without it
        return
    import argcomplete

    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for action in (action for sub in commands.choices.values() for action in sub._actions):
        action.completer = _completer(action)
    # Options are suggested once their dash is typed: `train` has too many to show them beside the data.
    argcomplete.autocomplete(parser, always_complete_options=False)


def _completer(action: argparse.Action) -> Callable[..., Iterable[str]]:
    from argcomplete.completers import DirectoriesCompleter, FilesCompleter

    words = getattr(action, "suggestions", Suggestions(()))
    placeholder = str(action.metavar)
    paths = DirectoriesCompleter() if placeholder in FOLDERS else FilesCompleter() if placeholder in FILES else None

    def complete(prefix: str, **given: Any) -> Iterable[str]:
        return [*words(prefix), *(paths(prefix=prefix, **given) if paths else ())]

    return complete
