"""constraints.txt pins what pyproject.toml names, for every Python that it names."""

import importlib.metadata
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
LOWEST = "3.10"


def requirements():
    extras = PROJECT["optional-dependencies"].values()
    found = [Requirement(text) for texts in (PROJECT["dependencies"], *extras) for text in texts]
    return [each for each in found if each.name != "lorae" and (each.marker is None or each.marker.evaluate())]


def test_the_lowest_python_is_that_of_the_project():
    assert PROJECT["requires-python"] == f">={LOWEST}"


def test_every_requirement_has_a_pin_within_its_range():
    pinned = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in PINS}
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in pinned, name
        assert requirement.specifier.contains(pinned[name]), name


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: pin.name)
def test_a_release_that_needs_a_later_python_is_pinned_for_that_only(pin):
    try:
        found = importlib.metadata.metadata(pin.name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")
    if not pin.specifier.contains(found["Version"]):
        pytest.skip(f"installed in version {found['Version']}")
    needed = (found.get_all("Requires-Python") or [""])[0]
    supported = SpecifierSet(needed).contains(f"{LOWEST}.1")
    assert supported or (pin.marker is not None and not pin.marker.evaluate({"python_version": LOWEST}))
