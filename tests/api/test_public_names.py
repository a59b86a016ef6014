"""Public names of version 0.1.0, which later versions keep, and imports that stay quick."""

import importlib
import subprocess
import sys

import pytest

import lorae

FUNCTIONS = (
    "compare",
    "decode",
    "encode",
    "evaluate",
    "export_run",
    "fid",
    "from_pretrained",
    "interpolate",
    "list_methods",
    "load",
    "load_data",
    "plan",
    "push_to_hub",
    "reconstruct",
    "resume",
    "sample",
    "spectrum",
    "train",
    "truncate",
    "write_report",
)
CLASSES = ("Autoencoder", "DivergedError", "LoRAE", "LoraeError", "LoraeWarning")
LAYER = ("LowRankLinear", "ProximalAdam", "fold", "nuclear_norm_penalty", "proximal_step", "truncate")
# Names that README, docs/ or docstrings of public functions import from elsewhere.
DOCUMENTED = (
    ("lorae.estimator", "LoRAE"),
    ("lorae.estimator", "SpectrumDisplay"),
    ("lorae.evaluation", "EvaluationSettings"),
    ("lorae.config.settings", "Settings"),
    ("lorae.models", "Autoencoder"),
    ("lorae.models", "ModelSpec"),
    ("lorae.penalties", "PenaltyContext"),
    ("lorae.runs", "Run"),
)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_imported_from_the_package(name):
    function = getattr(lorae, name)
    assert callable(function)
    assert not isinstance(function, type)
    assert function.__name__ == name
    assert function.__doc__


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_imported_from_the_package(name):
    assert isinstance(getattr(lorae, name), type)


def test_the_package_names_them_all_and_its_version():
    assert {*FUNCTIONS, *CLASSES, "__version__", "nn"} <= set(lorae.__all__)
    assert set(dir(lorae)) == set(lorae.__all__)
    assert lorae.__version__.split(".")[0].isdigit()
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = lorae.trian


def test_the_layer_alone_is_in_a_module_of_its_own():
    assert set(LAYER) == set(lorae.nn.__all__)
    assert all(getattr(lorae.nn, name).__doc__ for name in LAYER)


@pytest.mark.parametrize(("module", "name"), DOCUMENTED)
def test_documented_names_are_imported_from_their_modules(module, name):
    assert isinstance(getattr(importlib.import_module(module), name), type)


@pytest.mark.parametrize("path", ["lorae.api", "lorae"])
def test_the_functions_of_the_interface_are_those_of_the_package(path):
    module = importlib.import_module(path)
    assert all(getattr(module, name) is getattr(lorae, name) for name in FUNCTIONS)


QUICK = {
    "import lorae": "import lorae",
    "lorae --help": "from lorae.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    "lorae train --help": "from lorae.cli import main\ntry: main(['train', '--help'])\nexcept SystemExit: pass",
}


@pytest.mark.parametrize("program", QUICK)
def test_torch_is_not_imported(program):
    code = f"import sys\n{QUICK[program]}\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
