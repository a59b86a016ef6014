"""A penalty is one new file: nothing else has to be edited for it to be found everywhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

FROBENIUS = '''"""Squared Frobenius norm of M: shrinks all its directions alike."""

from torch import Tensor

from lorae.penalties import PenaltyContext

SOURCE = "Krogh and Hertz, NeurIPS 1991"


def penalty(context: PenaltyContext) -> Tensor:
    """Return the sum of the squared entries of M; scalar, float32."""
    return context.matrix.square().sum()
'''


def test_a_new_file_is_found_by_the_command_line_the_list_and_the_tests(image_file, tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src" / "lorae" / "penalties" / "frobenius.py").write_text(FROBENIUS)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "OMP_NUM_THREADS": "1"}

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        ).stdout

    rows = {row["name"]: row for row in json.loads(run("lorae", "methods", "--json"))}
    assert rows["frobenius"]["source"] == "Krogh and Hertz, NeurIPS 1991"
    assert "--penalties.frobenius" in run("lorae", "train", "--help")
    words = ["--penalties.frobenius", "0.1", "--latent-dim", "4", "--epochs", "1", "--width", "0.1", "--json"]
    assert "frobenius" in json.loads(run("lorae", "train", str(image_file), "--out", "run", *words))["loss"]
    assert "[frobenius] PASSED" in run(
        "pytest", "-v", "-p", "no:cacheprovider", "-k", "frobenius", "tests/penalties/test_all_penalties.py"
    )
