"""The manual page lorae(1), written from the parser: `python -m lorae.cli.manual > man/lorae.1`, or `make man`.

The page lies in the repository because the environments that build wheels lack the packages that the parser imports.
"""

import argparse
import datetime
import textwrap
from collections.abc import Iterator

from lorae import __version__
from lorae.cli.examples import EXAMPLES, FIRST_STEPS
from lorae.cli.parser import build_parser

ABOUT = """A plain autoencoder uses every latent coordinate it has. lorae puts one linear layer M between encoder and
decoder and penalizes its nuclear norm during training, so that the latent uses few directions. Each training is a run:
a folder with its settings, weights, statistics and results, which the other commands take."""

STATUS = {
    "0": "success",
    "2": "invalid input, a file that cannot be read or written, or too little memory, with one line on standard error",
    "130": "interrupted, with the command that continues where there is something to continue",
    "143": "stopped by SIGTERM, with the same line as after an interrupt",
}

ENVIRONMENT = {
    "LORAE_IN_MEMORY": "largest array that is kept in memory, in MiB (512); larger ones are read from their files",
    "LORAE_CACHE": "folder of prepared data and downloads, in the place of the user's cache folder",
    "LORAE_INCEPTION": "file with the weights of the Inception network",
}


def page(date: str) -> str:
    """Return the page in the macros of man(7), for a date such as 2026-11-27."""
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    meanings = {choice.dest: choice.help or "" for choice in commands._get_subactions()}
    lines = [f'.TH LORAE 1 "{date}" "lorae {__version__}" "User Commands"', ".SH NAME"]
    lines += [r"lorae \- autoencoders that find their own latent dimension", ".SH SYNOPSIS", ".B lorae"]
    lines += [".I COMMAND", r"[\fIARGUMENT\fR ...]", ".br", ".B lorae", r"[\fB\-\-help\fR | \fB\-\-version\fR]"]
    lines += [".SH DESCRIPTION", *_text(ABOUT), ".PP", *_text("Every command takes --help."), ".SH COMMANDS"]
    for name, sub in commands.choices.items():
        meaning = f"{meanings[name][:1].upper()}{meanings[name][1:]}."
        lines += [f'.SS "{_escaped(_invocation(sub))}"', *_text(meaning)]
        lines += [".PP", *_examples(EXAMPLES[name]), *_options(sub)]
    lines += [".SH EXAMPLES", *_examples(FIRST_STEPS), ".SH EXIT STATUS", *_listed(STATUS)]
    return "\n".join([*lines, ".SH ENVIRONMENT", *_listed(ENVIRONMENT)]) + "\n"


def _invocation(sub: argparse.ArgumentParser) -> str:
    words = [_placeholder(action) for action in sub._actions if not action.option_strings]
    return " ".join([sub.prog, *words, "[OPTION ...]"])


def _placeholder(action: argparse.Action) -> str:
    return f"{action.metavar} ..." if action.nargs == "+" else str(action.metavar)


def _options(sub: argparse.ArgumentParser) -> Iterator[str]:
    formatter = argparse.HelpFormatter(sub.prog)
    for action in sub._actions:
        if action.help in (None, argparse.SUPPRESS) or "--help" in action.option_strings:
            continue
        names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in action.option_strings)
        value = "" if action.nargs == 0 else rf"\fI{_escaped(_placeholder(action))}\fR"
        yield from (".TP", f"{names} {value}".strip(), *_text(formatter._expand_help(action)))


def _examples(examples: tuple[str, ...]) -> list[str]:
    return [".EX", *(_escaped(f"  {example}") for example in examples), ".EE"]


def _listed(meanings: dict[str, str]) -> Iterator[str]:
    for name, meaning in meanings.items():
        yield from (".TP", rf"\fB{_escaped(name)}\fR", *_text(meaning))


def _text(words: str) -> list[str]:
    wrapped = textwrap.wrap(" ".join(words.split()), 72, break_long_words=False, break_on_hyphens=False)
    return [_escaped(line) for line in wrapped]


# Hyphens and quotes that can be copied into a shell; troff makes others of plain ones.
SPECIAL = str.maketrans({"\\": r"\e", "-": r"\-", '"': r"\(dq", "'": r"\(aq", "`": r"\(ga"})


def _escaped(text: str) -> str:
    """Return text that troff prints as it is, also where it begins as a request does."""
    escaped = text.translate(SPECIAL)
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    print(page(datetime.datetime.now(datetime.timezone.utc).date().isoformat()), end="")
