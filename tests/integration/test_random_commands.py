"""Random command lines end with a result, or with one line and exit code 2."""

import argparse
import shutil

import numpy as np
import pytest

from lorae.cli.parser import build_parser

# Commands that write nothing beside their run, or stop before the work. `--features MODULE:NAME` imports what it names.
COMMANDS = ("train", "data", "methods", "spectrum", "reconstruct", "evaluate", "compare", "fid", "sample", "encode",
            "decode", "interpolate", "truncate", "export", "report")  # fmt: skip
SKIPPED = {
    "--help",
    "-h",
    "--version",
    "--device",
    "--quiet",
    "--features",
    "--features-weights",
    "--track",
    "--network",
}
VALUES = (
    "", "0", "-1", "1", "2", "3", "1.5", "1e400", "-inf", "nan", "auto", "none", "null", "true", "{}", "[1, 2]", "a b",
    "../..", "x" * 300, "0x10", "1_000", "99999999999999999999", "1e-300", "\x1b[31m", "[/v2]", "\udcff", "~nobody/x",
    "/dev/null/x", "é", "-", "--", "=", "a=b", "1,2", "gaussian", "nuclear",
)  # fmt: skip
TRIES = 60


def commands():
    """Each command's parser by name."""
    (choices,) = (
        action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return {name: choices[name] for name in COMMANDS}


def random_words(generator, name, parser, places):
    """A command with values of its own for some flags and wrong ones for others."""
    words = [name]
    for action in parser._actions:
        if not action.option_strings and action.nargs != 0:
            pool = places if generator.random() < 0.8 else VALUES
            words += [str(generator.choice(pool)) for _ in range(1 if action.nargs in (None, "?") else 2)]
    flags = [action for action in parser._actions if action.option_strings and not SKIPPED & set(action.option_strings)]
    for index in generator.permutation(len(flags))[: int(generator.integers(1, 4))]:
        action = flags[index]
        words.append(action.option_strings[-1])
        if action.nargs != 0:
            pool = [str(choice) for choice in action.choices] if action.choices and generator.random() < 0.5 else VALUES
            words.append(str(generator.choice(np.array(pool, object))))
    return words + (["--dry-run"] if name == "train" else [])


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 50))])
def test_a_random_command_ends_in_a_result_or_in_one_line(seed, run_cli, trained, image_file, tmp_path, monkeypatch):
    generator = np.random.default_rng(seed)
    run = shutil.copytree(trained.path, tmp_path / "run")
    np.save(tmp_path / "codes.npy", np.zeros((2, 8), np.float32))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY broken")
    monkeypatch.chdir(tmp_path)
    places = ["run", str(image_file), "codes.npy", "broken.npy", ".", "missing"]
    parsers = commands()
    for _ in range(TRIES):
        name = str(generator.choice(COMMANDS))
        words = random_words(generator, name, parsers[name], places)
        try:
            code, _, errors = run_cli(*words)
        except SystemExit as stop:  # argparse
            code, errors = stop.code, ""
        except BaseException as error:
            raise AssertionError(f"lorae {words}") from error
        assert code in (0, 2), words
        if code == 2 and errors:
            (line,) = [line for line in errors.splitlines() if "Warning" not in line and not line.startswith("  ")][-1:]
            assert line.startswith("lorae"), (words, errors)
            assert "Traceback" not in errors, words
    assert run.exists()
