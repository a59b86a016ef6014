"""The manual page in the repository is the one that the parser gives, and troff reads it without a warning."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lorae.cli.manual import STATUS, page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "man" / "lorae.1"
STORED = PAGE.read_text(encoding="utf-8")


def test_the_page_is_that_of_the_parser():
    (date,) = re.findall(r'^\.TH LORAE 1 "(\d{4}-\d\d-\d\d)"', STORED)
    assert page(date) == STORED, "run `make man`"


def test_all_exit_codes_of_the_command_are_on_the_page():
    assert {"0", "2", "130", "143"} <= set(STATUS)


CHECKS = {
    "mandoc": ["mandoc", "-T", "lint", "-W", "style"],
    "groff": ["groff", "-man", "-ww", "-T", "utf8", "-z"],
}


@pytest.mark.parametrize("program", CHECKS)
def test_it_is_formatted_without_a_warning(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([*CHECKS[program], str(PAGE)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_line_that_begins_like_a_request_is_text():
    lines = [line for line in STORED.splitlines() if line.startswith(".")]
    assert {line.split()[0] for line in lines} <= {".TH", ".SH", ".SS", ".PP", ".TP", ".EX", ".EE", ".B", ".I", ".br"}
