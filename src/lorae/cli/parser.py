"""Parse a command line and run its command."""

import argparse
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Literal

from lorae import __version__
from lorae.cli import cite, completion, derive, inspect, reproduce, sweep, train
from lorae.cli.arguments import Parser, join_negative_numbers, show_warning
from lorae.cli.examples import EXAMPLES, FIRST_STEPS, described
from lorae.cli.output import Output, accept_all_characters, flush, one_line, show
from lorae.errors import LoraeError, LoraeWarning, as_flags
from lorae.system.faults import is_out_of_memory, reason_of
from lorae.system.processes import is_first, is_reported
from lorae.system.signals import raised_as_exceptions

TRUST = "import the file in RUN/network, for a run with networks of your own; it can do anything that you can"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, given by the words after `lorae`; None takes those of the process.

    Returns the exit code: 0 for success, 2 for invalid input, with one line on standard error, 130 for an interrupt and
    143 for SIGTERM.
    """
    accept_all_characters()
    try:
        with raised_as_exceptions() as signaled:
            return _run(list(sys.argv[1:] if arguments is None else arguments), signaled)
    finally:
        flush()


def _run(words: list[str], signaled: Callable[[], int | None]) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", LoraeWarning)
            warnings.showwarning = show_warning
            parser = build_parser()
            completion.complete_if_asked(parser)
            options = parser.parse_args(join_negative_numbers(words))
            if options.command is None:
                parser.print_help()
                return 0
            if options.joint or is_first():
                output = options.command(options)
                if is_first():
                    show(output, as_json=options.json)
    except KeyboardInterrupt as interrupt:
        return _interrupted(str(interrupt), signaled() or getattr(interrupt, "number", None))
    except Exception as error:
        if signaled():  # an import that was interrupted raises its own error, which may be one of any kind by now
            return _interrupted("", signaled())
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    """Say in one line why a command has failed, and return its exit code; raise an error of the program again."""
    if isinstance(error, BrokenPipeError):  # the reader of the output has gone; the command is done
        return 0
    if isinstance(error, LoraeError):
        reason = as_flags(error)
    elif isinstance(error, OSError):  # a folder or disk that no code expects to fail
        where = f" {str(error.filename)!r}" if error.filename else ""
        reason = f"cannot read or write{where}: {reason_of(error)}"
    elif is_out_of_memory(error):
        reason = f"not enough memory: {reason_of(error)}; use fewer or smaller items, or a smaller model"
    else:
        raise error
    if not is_reported(error):
        print(f"lorae: {one_line(reason)}", file=sys.stderr)
    return 2


def _interrupted(what: str, number: int | None) -> int:
    """Say what is stored after an interrupt, and return the exit code of its signal."""
    what = one_line(what) or "before anything was stored; run the command again"
    if is_first():
        print(f"lorae: interrupted {what}", file=sys.stderr)
    return 128 + (number or signal.SIGINT)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands; the flags of `lorae train` are the fields of `Settings`."""
    summary = described("Autoencoders that find their own latent dimension.", FIRST_STEPS)
    parser = Parser(prog="lorae", description=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"lorae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    parser.set_defaults(command=None)
    # Of several processes that torchrun has started, all take part in a joint command, and one runs any other.

    def add(
        name: str,
        command: Callable[[argparse.Namespace], Output],
        meaning: str,
        takes: Literal["run", "runs"] | None = None,
        usage: str | None = None,
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=meaning,
            description=described(meaning, EXAMPLES.get(name, ())),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            usage=usage,
            allow_abbrev=False,
        )
        sub.set_defaults(command=command, joint=False)
        sub.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        if takes == "run":
            sub.add_argument("--trust-code", action="store_true", help=TRUST)
        if takes:
            sub.add_argument(takes, metavar="RUN", nargs="+" if takes == "runs" else None)
        return sub

    for group in (train, sweep, inspect, derive, reproduce, cite, completion):
        group.add_commands(add)
    return parser
