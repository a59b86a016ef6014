"""Command lines that hypothesis makes up end with a result, or with one line and exit code 2."""

import argparse
import contextlib
import shutil

import numpy as np
import pytest
from hypothesis import strategies as st

from lorae.cli.parser import build_parser
from tests.integration.attempts import attempt
from tests.integration.fuzzing import counts, fuzz

pytestmark = pytest.mark.usefixtures("blank_figures")

# Commands that do not end by themselves, or that the test would have to stop.
SERVING = {"explore"}
# A path outside of the folder of the test, code that is imported, and the end of the parser's own program.
SKIPPED = {
    *("--help", "-h", "--version", "--device", "--features", "--features-weights", "--track", "--network"),
    "--repo-id",
}
# Words with which a command that trains ends before the work.
ENDING = {"train": ["--dry-run"], "reproduce": ["--status"]}
# Flags of commands that would train for a long time.
TRAINING = {"resume": {"--epochs"}, "evaluate": {"--only", "--max-steps"}}
VALUES = (
    "", "0", "-1", "1", "2", "3", "1.5", "1e400", "-inf", "nan", "auto", "none", "null", "true", "{}", "[1, 2]", "a b",
    "../..", "x" * 300, "0x10", "1_000", "99999999999999999999", "1e-300", "\x1b[31m", "[/v2]", "\udcff", "~nobody/x",
    "/dev/null/x", "é", "-", "--", "=", "a=b", "1,2", "gaussian", "nuclear",
)  # fmt: skip
PLACES = ("run", "items.npy", "codes.npy", "broken.npy", ".", "missing", "settings.yaml")


def commands():
    """Each command's parser by name."""
    (choices,) = (
        action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return {name: parser for name, parser in choices.items() if name not in SERVING}


@st.composite
def command_lines(draw, parsers):
    """A command with values of its own for some flags and wrong ones for others."""
    name = draw(st.sampled_from(sorted(parsers)))
    places = st.sampled_from(PLACES)
    values = st.one_of(st.sampled_from(VALUES), st.text(max_size=8).filter(lambda text: "\0" not in text))
    words = []
    for action in parsers[name]._actions:
        if not action.option_strings and action.nargs != 0:
            known = st.sampled_from([str(choice) for choice in action.choices]) if action.choices else places
            number = 1 if action.nargs in (None, "?") else draw(st.integers(1, 3))
            words += [draw(st.one_of(known, known, known, values)) for _ in range(number)]
    left_out = SKIPPED | TRAINING.get(name, set())
    flags = [
        action for action in parsers[name]._actions if action.option_strings and not left_out & {*action.option_strings}
    ]
    for action in draw(st.lists(st.sampled_from(flags), max_size=3, unique_by=id)) if flags else ():
        words.append(draw(st.sampled_from(action.option_strings)))
        if action.nargs != 0:
            known = st.sampled_from([str(choice) for choice in action.choices]) if action.choices else places
            words.append(draw(st.one_of(known, values, values)))
    only = (
        ["--only", draw(st.sampled_from(["rank", "reconstruction,rank", "fid", "x", ""]))] if name == "evaluate" else []
    )
    return [name, *words, *only, *ENDING.get(name, [])]


@pytest.fixture
def place(trained, image_file, tmp_path, monkeypatch):
    """A folder to be in, with what the words name."""
    shutil.copytree(trained.path, tmp_path / "run")
    shutil.copy(image_file, tmp_path / "items.npy")
    np.save(tmp_path / "codes.npy", np.zeros((2, 8), np.float32))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY broken")
    (tmp_path / "settings.yaml").write_text("epochs: 2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@counts
def test_a_command_ends_in_a_result_or_in_one_line(count, place):
    def check(words):
        with contextlib.suppress(SystemExit):  # of argparse, for the help
            attempt(*words)

    fuzz(count, command_lines(commands()), check)
    assert (place / "run" / "model.safetensors").exists()
