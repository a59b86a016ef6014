"""Messages about missing packages name a command that installs them, whether or not the package is published."""

import ast
import json
import re
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lorae import extras
from lorae.errors import LoraeError
from lorae.training.trackers import MODULES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lorae"
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
# Modules whose distribution has another name.
OTHERWISE_NAMED = {"mlflow": "mlflow-skinny", "torch.utils.tensorboard": "tensorboard"}
PIP = [sys.executable, "-m", "pip", "install"]


def distributions(extra):
    return {canonicalize_name(Requirement(text).name) for text in DECLARED[extra]}


@pytest.mark.parametrize("module", extras.EXTRAS)
def test_an_extra_installs_the_module_that_it_is_named_for(module):
    top = module.split(".")[0]
    name = canonicalize_name(OTHERWISE_NAMED.get(module, top))
    assert name in distributions(extras.EXTRAS[module])
    installed = {canonicalize_name(each) for each in metadata.packages_distributions().get(top, ())}
    if installed and module != "torch.utils.tensorboard":
        assert name in installed or (name, installed) == ("mlflow-skinny", {"mlflow"})


def calls_of_import_extra(tree):
    return [
        node.args[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "import_extra"
    ]


def test_every_optional_module_is_imported_by_the_one_function():
    imported, caught = set(MODULES.values()), []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported |= {module.value for module in calls_of_import_extra(tree) if isinstance(module, ast.Constant)}
        kinds = [ast.unparse(node.type) for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.type]
        caught += [path.name for kind in kinds if "ImportError" in kind or "ModuleNotFoundError" in kind]
    assert imported == set(extras.EXTRAS)
    assert caught == ["extras.py"]


def test_the_extras_that_texts_name_exist():
    pages = [*PACKAGE.rglob("*.py"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    commands = [line for page in pages for line in re.findall(r"pip install.*", page.read_text(encoding="utf-8"))]
    named = {
        extra for line in commands for names in re.findall(r"\[([a-z0-9,]+)\]", line) for extra in names.split(",")
    }
    assert named
    assert named <= set(DECLARED)


def test_in_a_checkout_the_command_names_its_folder():
    assert shlex.split(extras.install_command("onnx"))[-3:] == ["install", "-e", f"{ROOT}[onnx]"]


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """`installed(record)` lets the package be one that was installed, with this `direct_url.json` or none."""
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "lib" / "site-packages" / "lorae" / "extras.py"))

    def installed(record):
        folder = tmp_path / "lorae-9.dist-info"
        folder.mkdir()
        lines = [f"Requires-Dist: {text}" for text in ("torch>=2", 'tomli>=2; python_version < "3.11"')]
        lines += [
            f"Requires-Dist: {text}; extra == '{extra}'" for extra in ("lite0", "data") for text in DECLARED[extra]
        ]
        (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", "Name: lorae", "Version: 9", *lines]))
        if record is not None:
            (folder / "direct_url.json").write_text(json.dumps(record))
        monkeypatch.setattr(metadata, "distribution", lambda name: metadata.PathDistribution(folder))

    return installed


def test_a_package_of_an_index_is_named(installed):
    installed(None)
    assert shlex.split(extras.install_command("data")) == [*PIP, "lorae[data]"]


def test_a_package_of_a_file_names_what_the_extra_requires(installed):
    installed({"url": "file:///gone/lorae-9-py3-none-any.whl", "archive_info": {}})
    assert shlex.split(extras.install_command("data")) == [*PIP, *DECLARED["data"]]
    assert shlex.split(extras.install_command("lite0")) == [*PIP, *DECLARED["lite0"]]


@pytest.mark.parametrize("ours", [True, False])
def test_pip_is_that_of_the_environment(ours, monkeypatch, tmp_path):
    folder = Path(sys.executable).parent if ours else tmp_path
    monkeypatch.setattr(shutil, "which", lambda name: str(folder / name))
    words = shlex.split(extras.install_command("hub"))
    assert words[:-2] == (["pip", "install"] if ours else PIP)


def test_a_package_that_is_there_and_broken_says_why(monkeypatch, tmp_path):
    (tmp_path / "wandb.py").write_text("raise ImportError('libx.so: cannot open\\nshared object file')")
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(LoraeError) as error:
        extras.import_extra("wandb", "track")
    reason = "(libx.so: cannot open shared object file)"
    assert str(error.value) == f"track: cannot import wandb {reason}; run: {extras.install_command('trackers')}"


def test_the_message_is_one_line_on_the_command_line(tmp_path, monkeypatch, run_cli):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"")
    code, _, errors = run_cli("data", tmp_path / "a.parquet")
    assert code == 2
    assert errors.count("\n") == 1
    assert errors.endswith(f"run: {extras.install_command('data')}\n")
