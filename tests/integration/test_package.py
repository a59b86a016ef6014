"""The wheel and the sdist hold what they should; the wheel works in an environment of its own, from any folder."""

import email
import html.parser
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

import lorae

ROOT = Path(__file__).parents[2]
VERSION = lorae.__version__
INFO = f"lorae-{VERSION}.dist-info"
MANUAL = f"lorae-{VERSION}.data/data/share/man/man1/lorae.1"
# Without the tests, whose pages and records take 15 MB. Mostly the weights of the network `digits`.
MOST_BYTES = 1_500_000


def package_files():
    """The files of the package in the repository, as paths below `src`."""
    found = (path.relative_to(ROOT / "src") for path in (ROOT / "src" / "lorae").rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel built from it, by the tools of this environment: without a network."""
    pytest.importorskip("build")
    pytest.importorskip("hatch_fancy_pypi_readme")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    sdist, wheel = folder / f"lorae-{VERSION}.tar.gz", folder / f"lorae-{VERSION}-py3-none-any.whl"
    assert {sdist, wheel} == set(folder.iterdir())
    return sdist, wheel


@pytest.fixture(scope="module")
def metadata(built):
    with zipfile.ZipFile(built[1]) as archive:
        return email.message_from_bytes(archive.read(f"{INFO}/METADATA"))


def description(metadata):
    return metadata.get_payload(decode=True).decode()


def test_the_wheel_holds_every_file_of_the_package_and_no_other(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
    added = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == package_files() | added | {MANUAL}
    assert {"lorae/py.typed", "lorae/features/digits.safetensors", "lorae/reports/captions.toml"} <= names


def test_the_sdist_holds_what_the_wheel_is_built_from(built):
    with tarfile.open(built[0]) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    added = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "man/lorae.1", "PKG-INFO"}
    assert names - {".gitignore"} == {f"src/{name}" for name in package_files()} | added


def test_both_are_small(built):
    assert all(path.stat().st_size < MOST_BYTES for path in built)


def test_an_index_takes_them(built):
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


class Addresses(html.parser.HTMLParser):
    """Where links and pictures of a page lead."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [
            value for name, value in attrs if name in ("href", "src") and "anchor" not in dict(attrs).values()
        ]


def test_the_page_on_an_index_has_no_link_that_needs_the_repository(metadata):
    markdown = pytest.importorskip("readme_renderer.markdown")
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = markdown.render(description(metadata))
    assert page is not None
    found = Addresses(page).found
    assert [address for address in found if not address.startswith(("https://", "#user-content-"))] == []
    assert "https://arxiv.org/abs/2310.16194" in found


def test_the_page_on_an_index_has_the_code_of_the_readme(metadata):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"^```.*?^```", readme, re.S | re.M)
    assert code
    assert re.findall(r"^```.*?^```", description(metadata), re.S | re.M) == code


def test_the_metadata_name_the_version_and_the_pythons_that_are_tested(metadata):
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "MIT"
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (tested,) = re.findall(r"python: \[(.*)\]", workflow)
    classified = [line.rsplit(" ", 1)[1] for line in metadata.get_all("Classifier") if re.search(r":: 3\.\d+$", line)]
    assert classified == re.findall(r"3\.\d+", tested)
    assert metadata["Requires-Python"] == f">={classified[0]}"
    assert "Typing :: Typed" in metadata.get_all("Classifier")


@pytest.mark.parametrize("words", [["-c", "import lorae, lorae.cli"], ["-m", "lorae", "--version"]], ids=str)
def test_it_starts_without_a_warning(words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """`run(*words)` in an environment with the wheel, from another folder.

    What the package requires comes from the environment of the tests, by a file of paths: no network is needed. The
    package itself does not, since an editable one is found by such a file there, which is not read a second time.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    inside = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    (inside / "dependencies.pth").write_text("\n".join(sorted(paths)))
    place = tmp_path_factory.mktemp("elsewhere")
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    variables |= {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "LORAE_CACHE": str(place / "cache")}

    def run(*words):
        return subprocess.run(words, cwd=place, env=variables, capture_output=True, text=True, timeout=300)

    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "install",
        "--no-index",
        "--no-deps",
    ]
    done = subprocess.run([*pip, str(built[1])], env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder, place, run


def succeeded(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_installed_package_is_found_and_complete(environment):
    folder, _, run = environment
    python = str(folder / "bin" / "python")
    where = succeeded(run(python, "-W", "error", "-c", "import lorae; print(lorae.__file__)"))
    assert Path(where.strip()).is_relative_to(folder)
    assert succeeded(run("lorae", "--version")) == f"lorae {VERSION}\n"
    assert succeeded(run(python, "-m", "lorae", "--version")) == f"lorae {VERSION}\n"
    assert (folder / "share" / "man" / "man1" / "lorae.1").read_text() == (ROOT / "man" / "lorae.1").read_text()
    checked = subprocess.run([sys.executable, "-m", "pip", "--python", python, "check"], capture_output=True, text=True)
    assert "lorae" not in checked.stdout, checked.stdout


@pytest.mark.slow
def test_the_installed_package_trains_measures_and_writes_pages(environment, images):
    _, place, run = environment
    (place / "my-images").mkdir()
    for index, picture in enumerate(images[:48, 0]):
        Image.fromarray(picture).resize((32, 32)).save(place / "my-images" / f"{index}.png")
    options = ["--size", "32", "--epochs", "1", "--latent-dim", "4", "--width", "0.125", "--out", "runs/digits"]
    assert "report" in succeeded(run("lorae", "train", "my-images", *options))
    assert (place / "runs" / "digits" / "report.html").is_file()  # by the templates of the package
    measured = succeeded(run("lorae", "fid", "my-images", "my-images", "--features", "digits", "--json"))
    assert '"fid"' in measured  # by the weights in the package
    assert "left" in succeeded(run("lorae", "reproduce", "table3", "--preset", "smoke", "--status"))  # by its tables
    np.save(place / "vectors.npy", np.random.default_rng(0).normal(size=(64, 6)))
    code = "import numpy as np, lorae; print(lorae.LoRAE(rank=2, epochs=1).fit_transform(np.load('vectors.npy')).shape)"
    assert succeeded(run("python", "-c", code)) == "(64, 2)\n"


@pytest.mark.slow
def test_messages_of_the_installed_package_name_what_an_extra_requires(environment, metadata):
    _, _, run = environment
    command = succeeded(run("python", "-c", "from lorae.extras import install_command; print(install_command('onnx'))"))
    wanted = [Requirement(text) for text in metadata.get_all("Requires-Dist") if "'onnx'" in text]
    assert wanted
    assert all(f"'{requirement.name}{requirement.specifier}'" in command for requirement in wanted)
    assert "lorae[" not in command  # its name on an index could belong to others
