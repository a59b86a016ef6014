"""Shells complete commands, options and values by the scripts of `lorae completion`."""

import argparse
import os
import shlex
import shutil
import subprocess
import sys

import pytest

import lorae.data.registry
from lorae.cli import build_parser
from lorae.cli.completion import FILES, FOLDERS, SHELLS, Suggestions
from lorae.config.datasets import DATASETS
from lorae.config.evaluation_settings import FEATURE_NAMES, MEASURE_NAMES, SAMPLER_NAMES, EvaluationSettings
from lorae.config.methods import method_names
from lorae.config.settings import Settings
from lorae.evaluation.measures import MEASURES
from lorae.features import EXTRACTORS
from lorae.reproduction.run import STUDIES
from lorae.samplers import SAMPLERS
from lorae.sweeps import SweepOptions


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the command `lorae` in `bin`, and one folder and one file to complete."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "bin").mkdir()
    command = folder / "bin" / "lorae"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m lorae "$@"\n')
    command.chmod(0o755)
    (folder / "mnist-run").mkdir()
    (folder / "mnist.csv").touch()
    return folder


def output_of(shell, code, place):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    environment = {**os.environ, "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(place)}
    words = [shell, *{"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell], "-c", code]
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Line -> what it may be completed to.
LINES = {
    "lorae tr": ["train", "truncate"],
    "lorae train mnist --method lorae-": ["lorae-log-det", "lorae-schatten", "lorae-mcp"],
    "lorae train mnist --matrix-i": ["--matrix-init"],
    "lorae train mni": ["mnist", "mnist-run/", "mnist.csv"],
    "lorae spectrum mni": ["mnist-run/"],
    "lorae evaluate mnist-run --only fid,ra": ["fid,rank"],
    "lorae evaluate mnist-run --features di": ["digits", "dinov2"],
    "lorae reproduce table3 --preset ": ["smoke", "quick", "paper"],
    "lorae completion ": ["bash", "zsh", "fish"],
    "lorae export mnist-run --format o": ["onnx"],
    "lorae train mnist --normalis": [],  # an old name works and is not shown
}


def test_bash(place):
    asked = "\n".join(f"ask {shlex.quote(line)}" for line in LINES)
    code = f"""
eval "$(lorae completion bash)"
complete -p lorae >&2 || exit 1
ask() {{
    COMP_LINE="$1" COMP_POINT=${{#1}} COMP_TYPE=9 COMPREPLY=()
    _python_argcomplete lorae
    printf '%s\\n' "${{COMPREPLY[*]}}"
}}
{asked}
"""
    replies = output_of("bash", code, place).splitlines()
    for (line, expected), reply in zip(LINES.items(), replies, strict=True):
        assert sorted(reply.split()) == sorted(expected), line


def test_fish(place):
    asked = "\n".join(f"complete -C {shlex.quote(line)}; echo ==" for line in LINES)
    replies = output_of("fish", f"lorae completion fish | source\n{asked}", place).split("==\n")
    for (line, expected), reply in zip(LINES.items(), replies, strict=False):
        assert sorted(row.split("\t")[0] for row in reply.splitlines()) == sorted(expected), line


def test_zsh(place):
    """In a terminal, as zsh completes only there. The echo of a command shows no word that its output is waited for."""
    code = """
zmodload zsh/zpty
zpty typed zsh -f -i
zpty -w typed 'PS1=; autoload -U compinit && compinit -u -D'
zpty -w typed 'source <(lorae completion zsh); print rea\\dy'
zpty -r -m typed line '*ready*'
zpty -w -n typed $'lorae train mnist --method lorae-l\\t'
zpty -r -m typed line '*og-det*'
print -r -- "$line"
zpty -d typed
"""
    assert "lorae-log-det" in output_of("zsh", code, place)


def actions():
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    shown = [(name, action) for name, sub in commands.choices.items() for action in sub._actions]
    return [(name, action) for name, action in shown if action.help != argparse.SUPPRESS]


def suggestions(command, dest):
    (found,) = (action.suggestions.words for name, action in actions() if (name, action.dest) == (command, dest))
    return found


def test_names_are_those_of_the_tables():
    assert list(suggestions("train", "method")) == method_names()
    assert set(suggestions("train", "data")) == set(DATASETS) == set(lorae.data.registry.source_names())
    assert suggestions("evaluate", "only") == MEASURE_NAMES == tuple(MEASURES)
    assert suggestions("evaluate", "features") == FEATURE_NAMES == tuple(EXTRACTORS)
    assert set(suggestions("sample", "sampler")) == set(SAMPLER_NAMES) == {*SAMPLERS}
    assert suggestions("reproduce", "study") == STUDIES


@pytest.mark.parametrize("table", [Settings, EvaluationSettings])
def test_suggested_values_of_settings_are_valid(table):
    for name, field in table.__dataclass_fields__.items():
        for word in field.metadata["rule"].choices:
            field.metadata["rule"].check(name, word, "here")


def test_every_placeholder_of_a_path_suggests_paths():
    """A new placeholder is one of a path, of a value with suggestions, or of a number or free text."""
    free = {"COMMAND", "HOST", "PORT", "I,J", "LOW:HIGH", "N", "NAME", "R", "SEED", "T", "W", "EPOCHS", "SIZE"}
    settings = {
        name.upper() for table in (Settings, EvaluationSettings, SweepOptions) for name in table.__dataclass_fields__
    }
    for command, action in actions():
        suggested = getattr(action, "suggestions", Suggestions(())).words
        known = action.nargs == 0 or suggested or action.metavar in (*FILES, *FOLDERS, *free, *settings)
        assert known, f"{command} {action.metavar}"


def test_an_unknown_shell_is_one_line(run_cli):
    code, printed, errors = run_cli("completion", "bsh")
    assert (code, printed) == (2, "")
    assert errors == f"lorae: shell: got 'bsh', expected one of {', '.join(SHELLS)}; did you mean bash?\n"


@pytest.mark.parametrize("words", ["import lorae", "from lorae.cli import main; main(['methods'])"])
def test_argcomplete_is_imported_only_to_complete(words):
    code = f"import sys\n{words}\nassert 'argcomplete' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
