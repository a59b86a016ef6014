"""The examples of each command's help are commands that work, on runs and files of the same names."""

import argparse
import itertools
import shlex
import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lorae.cli import build_parser
from lorae.cli.examples import EXAMPLES, FIRST_STEPS
from lorae.config.data_settings import DataSettings
from lorae.config.datasets import DATASETS
from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.settings import Settings

pytestmark = pytest.mark.usefixtures("blank_figures")

(COMMANDS,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
WORDS = [(name, shlex.split(example)) for name in EXAMPLES if name != "completion" for example in EXAMPLES[name]]

# Settings that the commands take besides their own arguments.
TABLES: dict[str, Any] = {
    "train": Settings,
    "data": DataSettings,
    **dict.fromkeys(("evaluate", "fid", "sample", "encode", "decode"), EvaluationSettings),
}

# Items of the examples; the run folders are beside them.
FILES = ("my-images", "other-images", "vectors.npy", "codes.npy")
RUNS = ("runs/digits", "runs/other", "runs/digits-rank8")


@pytest.mark.parametrize("name", COMMANDS.choices)
def test_every_command_has_examples_of_itself(name):
    lines = [line for line in COMMANDS.choices[name].description.splitlines() if line.startswith("  ")]
    assert lines == [f"  {example}" for example in EXAMPLES[name]]
    assert all(f"lorae {name}" in line for line in lines)


def test_no_other_command_has_examples():
    assert set(EXAMPLES) == set(COMMANDS.choices)


@pytest.mark.parametrize(("name", "words"), WORDS, ids=lambda part: part if isinstance(part, str) else None)
def test_examples_are_understood_and_name_what_the_others_name(name, words):
    options = build_parser().parse_args(words[1:])
    assert options.command
    given = vars(options)
    named = [given.get(key) for key in ("run", "data", "items", "codes", "first", "second")]
    named += given.get("runs", [])
    known = (*FILES, *RUNS, *DATASETS, *(f"{data}:test" for data in DATASETS))
    assert [value for value in named if value is not None and value not in known] == []
    if name in TABLES:
        fields = TABLES[name].__dataclass_fields__
        TABLES[name].from_values({key: given[key] for key in fields if given.get(key) is not None}, str)


def test_the_first_steps_are_examples_of_their_commands():
    assert FIRST_STEPS[0] in EXAMPLES["train"]
    assert all(build_parser().parse_args(shlex.split(step)[1:]).command for step in FIRST_STEPS)


# Examples that need MNIST, a network on images of the user, or long, or several processes, or that end by an interrupt
# only; their words are checked above.
LONG = (
    "lorae sweep",
    "lorae explore",
    "lorae train mnist",
    "lorae data mnist",
    "lorae fid",
    "lorae evaluate",
    "lorae reproduce table3",
    "lorae export runs/digits --format onnx",
)


@pytest.fixture(scope="module")
def workshop(trained, images, vectors, tmp_path_factory):
    """A folder with the runs and files that the examples name."""
    folder = tmp_path_factory.mktemp("workshop")
    for name in RUNS[:2]:
        shutil.copytree(trained.path, folder / name)
    (folder / "my-images").mkdir()
    for index, picture in enumerate(images[:24, 0]):
        Image.fromarray(picture).save(folder / "my-images" / f"{index}.png")
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "codes.npy", np.zeros((2, 8), np.float32))
    return folder


@pytest.mark.parametrize("words", [words for _, words in WORDS if not " ".join(words).startswith(LONG)], ids=" ".join)
def test_examples_run(words, workshop, run_cli, monkeypatch):
    monkeypatch.chdir(workshop)
    if words[1] == "encode":
        (workshop / "codes.npy").unlink()
    planned = ["--dry-run"] if words[1] == "train" else []
    code, printed, errors = run_cli(*words[1:], *planned)
    assert code == 0, errors
    assert printed
    for option, value in itertools.pairwise(words):
        if option == "--out" and not planned:
            assert (workshop / value).exists()
