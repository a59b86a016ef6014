"""Penalties, bottlenecks, methods and feature networks of another, installed package."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lorae.errors import LoraeError
from lorae.penalties import get_penalty, matrix_function, penalty_function, register_penalty

ROOT = Path(__file__).parents[1]

FILES = {
    "extra/__init__.py": "",
    "extra/frobenius.py": '''"""Squared Frobenius norm of M: shrinks all its directions alike."""

SOURCE = "Krogh and Hertz, NeurIPS 1991"


def of_matrix(matrix):
    return matrix.square().sum()
''',
    "extra/halves.py": """import torch
from lorae.models.bottlenecks import Bottleneck, Latent


class Halves(Bottleneck):
    TERMS = ("second_half",)

    def __init__(self, latent_dim, divisor=2):
        super().__init__(latent_dim)
        self.divisor = divisor

    def forward(self, h):
        kept = self.latent_dim // self.divisor
        z = torch.cat([h[:, :kept], torch.zeros_like(h[:, kept:])], 1)
        return Latent(z, {"second_half": h[:, kept:].square().mean()} if self.training else {})
""",
    "extra/method.py": """from lorae.config.methods import Method

HALVES = Method(
    "halves", "half of the latent", "nobody", "mean (x - D(z))^2", "halves", {"divisor": 2},
    weights={"second_half": 0.1}, main="second_half",
)
""",
    "extra/features.py": """import torch


def flat_means():
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
""",
    "extra/broken.py": "import a_package_that_is_missing\n",
    "lorae_extra-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: lorae-extra\nVersion: 1.2\nSummary: more\n",
    "lorae_extra-1.2.dist-info/entry_points.txt": """[lorae.penalties]
frobenius = extra.frobenius
broken = extra.broken
nothing = extra.halves

[lorae.bottlenecks]
halves = extra.halves:Halves

[lorae.methods]
halves = extra.method:HALVES

[lorae.features]
flat-means = extra.features:flat_means
""",
}

OTHER = {
    "lorae_other-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: lorae-other\nVersion: 0.1\n",
    "lorae_other-0.1.dist-info/entry_points.txt": "[lorae.penalties]\nnuclear = extra.frobenius\n",
}


def install(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def lorae_with(tmp_path):
    """Run commands of lorae, all in one process, beside an installed package; their outputs and errors."""

    def run(*commands, files=FILES):
        install(tmp_path, files)
        script = (
            "import json, sys\nfrom lorae.cli import main\nfor words in json.loads(sys.argv[1]): print(main(words))"
        )
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{tmp_path}", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-c", script, json.dumps(commands)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )

    return run


def test_the_own_term_of_a_bottleneck_of_another_package_has_a_flag(lorae_with):
    found = lorae_with(["train", "mnist", "--method", "halves", "--penalties.second_half", "-1"])
    assert "penalties.second_half: got '-1', expected a number of at least 0" in found.stderr.replace("--", "")


def test_penalty_bottleneck_and_features_of_an_installed_package_are_used(lorae_with, image_file, tmp_path):
    small = ["--latent-dim", "4", "--epochs", "1", "--width", "0.1", "--json"]
    train = ["train", str(image_file), "--out"]
    found = lorae_with(
        ["methods", "--json"],
        [*train, "penalized", *small, "--penalties.frobenius", "0.1", "--penalty-every", "2"],
        [*train, "halved", *small, "--method", "halves", "--bottleneck.divisor", "4", "--penalty", "0.5"],
        ["evaluate", "halved", "--features", "flat-means", "--only", "fid", "--n", "40", "--json"],
        [*train, "missing", *small, "--penalties.broken", "1"],
        [*train, "unfit", *small, "--penalties.nothing", "1"],
    )
    listed, zero, trained, ok, halved, fine, evaluated, good, *refused = found.stdout.splitlines()
    assert (zero, ok, fine, good, refused) == ("0", "0", "0", "0", ["2", "2"])
    rows = {(row["kind"], row["name"]): row for row in json.loads(listed)}
    assert rows["penalty", "frobenius"]["source"] == rows["penalty", "broken"]["source"] == "lorae-extra 1.2"
    assert rows["method", "halves"]["summary"] == "half of the latent"
    assert "frobenius" in json.loads(trained)["loss"]
    assert json.loads(halved)["loss"]["second_half"] > 0
    config = json.loads((tmp_path / "halved" / "config.json").read_text())
    assert config["settings"]["penalties"] == {"second_half": 0.5}
    assert config["settings"]["bottleneck"] == {"divisor": 4}
    assert "flat-means" in evaluated
    missing, unfit = (line for line in found.stderr.splitlines() if "explained variance" not in line)
    assert "cannot import 'broken' of lorae-extra 1.2 (ModuleNotFoundError: No module named" in missing
    assert "'nothing' of lorae-extra 1.2 is 'extra.halves', expected a module with a docstring" in unfit


def test_a_name_that_is_taken_is_refused_in_one_line(lorae_with, image_file):
    found = lorae_with(["train", str(image_file), "--dry-run", "--penalty", "1e-3"], files=FILES | OTHER)
    assert found.stdout.splitlines() == ["2"]
    (line,) = found.stderr.splitlines()
    assert "lorae.penalties: lorae-other 0.1 adds 'nuclear', a name that lorae has already" in line


def test_names_are_read_without_importing_the_package(tmp_path):
    install(tmp_path, FILES)
    script = "import sys, lorae.penalties as p; print('frobenius' in p.all_penalties(), 'extra' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{tmp_path}"}
    words = [sys.executable, "-c", script]
    assert subprocess.run(words, env=environment, capture_output=True, text=True).stdout.split() == ["True", "False"]


def cube(matrix):
    """Sum of the cubed absolute entries of M."""
    return matrix.abs().pow(3).sum()


def test_a_registered_function_is_a_penalty():
    register_penalty("cube", cube, "this test", of_matrix=True)
    row = get_penalty("cube")
    assert (row.summary, row.source, row.of_matrix) == ("Sum of the cubed absolute entries of M", "this test", True)
    assert matrix_function("cube")(torch.full((2, 2), -2.0)) == 32
    context: Any = SimpleNamespace(matrix=torch.eye(3))
    assert penalty_function("cube")(context) == 3


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        ("nuclear", cube, "got 'nuclear', a name that is taken"),
        ("a cube", cube, "got 'a cube', expected letters, digits and underscores"),
        ("cube", lambda matrix: matrix.sum(), "'cube' has no docstring"),
    ],
)
def test_a_registration_that_does_not_fit_is_refused(name, function, message):
    with pytest.raises(LoraeError, match=message):
        register_penalty(name, function, "this test")
