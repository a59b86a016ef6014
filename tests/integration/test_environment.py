"""What surrounds a run cannot cost it: folders that cannot be written, full disks, backends, names, streams, forks."""

import argparse
import errno
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import lorae
from lorae.cli import build_parser
from lorae.runs.run import Run
from lorae.system.files import CannotWriteError
from tests.edited_records import read_edited

NOWHERE = "/dev/null/folder"  # no user, not even root, can write below a file
STRANGE = b"d\xff[red]x[bold]".decode("utf-8", "surrogateescape")
needs_bytes = pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are Unicode")


def python(*words, cwd, env=None, timeout=240):
    """Run Python in a new process; its exit code, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=timeout,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def strange_folder(tmp_path, images):
    """A folder of images whose name, and theirs, are not UTF-8 and hold markup of rich."""
    from PIL import Image

    folder = tmp_path / STRANGE
    folder.mkdir()
    for index, picture in enumerate(images[:24, 0]):
        Image.fromarray(picture).save(folder / f"{index}\udcfe[b].png")
    return folder


SMALL = ("--size", "16", "--epochs", "1", "--latent-dim", "4", "--width", "0.125", "--batch-size", "8")


@needs_bytes
def test_a_run_survives_a_hostile_environment(strange_folder, tmp_path):
    hostile = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline_that_is_not_installed",
        "HOME": NOWHERE,
        "XDG_CACHE_HOME": NOWHERE,
        "MPLCONFIGDIR": NOWHERE,
        "TMPDIR": NOWHERE,
        "LORAE_CACHE": "",
        "PYTHONIOENCODING": "ascii",
        "LANG": "C",
    }
    out = tmp_path / STRANGE.upper()
    code, printed, errors = python("-m", "lorae", "train", STRANGE, "--out", out, *SMALL, cwd=tmp_path, env=hostile)
    assert code == 0, errors
    assert len(errors.splitlines()) == 2, errors
    cache, behind_pca = errors.splitlines()
    assert cache.startswith("lorae: warning: cache: cannot write to /dev/null")
    assert behind_pca.startswith("lorae: warning: explained variance")
    assert r"\udcff[RED]X[BOLD]/report.html" in printed
    assert Run(out).finished
    assert {path.name for path in (out / "figures").iterdir()} >= {"spectrum.png", "reconstructions.png", "curves.png"}


@needs_bytes
def test_every_command_takes_names_of_any_bytes_and_brackets(strange_folder, tmp_path, run_cli):
    run = tmp_path / f"run{STRANGE}"
    code, _, errors = run_cli("train", strange_folder, "--out", run, *SMALL, "--method", "lorae+")
    assert code == 0
    assert all("explained variance" in line for line in errors.splitlines())
    commands = {
        "data": ("data", strange_folder),
        "spectrum": ("spectrum", run),
        "reconstruct": ("reconstruct", run, "-n", 2),
        "given": ("reconstruct", run, "--data", strange_folder, "--out", tmp_path / f"{STRANGE[:4]}.png"),
        "report": ("report", run),
        "evaluate": ("evaluate", run, "--only", "reconstruction,rank"),
        "compare": ("compare", run, run, "--out", tmp_path / f"{STRANGE[:4]}.html"),
        "sample": ("sample", run, "-n", 2, "--out", tmp_path / f"{STRANGE[:4]}.npy"),
        "truncate": ("truncate", run, "--rank", 1, "--out", tmp_path / f"small{STRANGE[:4]}"),
        "export": ("export", run, "--rank", 1, "--out", tmp_path / f"exported{STRANGE[:4]}"),
    }
    for name, words in commands.items():
        code, printed, errors = run_cli(*words)
        assert (code, errors) == (0, ""), (name, errors)
        assert r"\udcff" in printed or name == "evaluate", name


def test_unknown_names_with_markup_are_one_line(run_cli):
    code, _, errors = run_cli("train", f"no{STRANGE}[/red]")
    assert code == 2
    assert errors.count("\n") == 1
    assert "[red]x[bold][/red]" in errors


@pytest.mark.parametrize(
    "words",
    [
        ("lorae methods | true", 0),
        ("lorae --help | true", 0),
        ("lorae methods >&-", 0),
        ("lorae trian 2>&-", 2),
    ],
    ids=str,
)
def test_streams_that_are_closed_are_no_error(words, tmp_path):
    command, expected = words
    line = command.replace("lorae", f"{sys.executable} -m lorae")
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (expected, "")


BACKENDS = {
    "svg": "svg",
    "module://matplotlib_inline.backend_inline_that_is_not_installed": None,
    "nonsense": None,
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_figures_are_drawn_and_the_backend_stays_that_of_the_user(backend, tmp_path):
    code = f"""
import os, sys
from lorae.plotting.style import new_figure, save
figure, (axes,) = new_figure(1, height=2)
axes.plot([1, 2])
save(figure, "figure.png")
import matplotlib
assert os.environ["MPLBACKEND"] == {backend!r}
assert "matplotlib.pyplot" not in sys.modules
print(matplotlib.rcParams._get("backend") if {BACKENDS[backend] is not None} else None)
"""
    code, printed, errors = python("-c", code, cwd=tmp_path, env={"MPLBACKEND": backend})
    assert (code, errors) == (0, "")
    assert printed.strip() == str(BACKENDS[backend])
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


FORK = """
import faulthandler, multiprocessing, sys
import numpy as np, torch
import lorae
faulthandler.dump_traceback_later(200, exit=True)
torch.set_num_threads(2)
run, unfinished = sys.argv[1:]
images = np.load(sys.argv[1] + "/../items.npy")
model = lorae.load(run)
vectors = np.random.default_rng(0).normal(size=(64, 4)) @ np.ones((4, 4))
estimator = lorae.LoRAE(rank=1, epochs=1, random_state=0).fit(vectors)
before = model.encode(images), estimator.transform(vectors)

def child(queue):
    codes = lorae.load(run).encode(images), estimator.transform(vectors)
    again = lorae.LoRAE(rank=1, epochs=1, random_state=0).fit(vectors)
    lorae.resume(unfinished, quiet=True)
    queue.put((codes, again.rank_))

context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
process = context.Process(target=child, args=(queue,))
process.start()
process.join(150)
assert process.exitcode == 0, f"the child hangs or failed: {process.exitcode}"
codes, rank = queue.get()
for ours, theirs in zip(before, codes):
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
assert rank == 1
assert torch.get_num_threads() == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_encodes_fits_and_resumes(trained, images, image_file, small, tmp_path, train_until):
    # Enough work for a step to be divided between two threads.
    np.save(trained.path.parent / "items.npy", np.tile(images, (8, 1, 1, 1)))
    train_until(8, str(image_file), out=tmp_path / "unfinished", checkpoint_every=4, **small)
    config = read_edited(tmp_path / "unfinished" / "config.json")
    config["machine"]["threads"] = 2
    (tmp_path / "unfinished" / "config.json").write_text(json.dumps(config))
    code, _, errors = python(
        "-W",
        "ignore",
        "-c",
        FORK,
        str(trained.path),
        str(tmp_path / "unfinished"),
        cwd=tmp_path,
        env={"OMP_NUM_THREADS": "2"},
    )
    assert code == 0, errors
    assert Run(tmp_path / "unfinished").finished


# Folders that no process can write, for root too: the hook of the audit sees every call to open, mkdir and rename.
_read_only: list[str] = []


def _refuse(event, arguments):
    if not _read_only or event not in ("open", "os.mkdir", "os.rename", "os.remove", "os.truncate"):
        return
    if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return
    for path in arguments[:2] if event == "os.rename" else arguments[:1]:
        if isinstance(path, (str, bytes)) and os.fsdecode(path).startswith(tuple(_read_only)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)


@pytest.fixture(scope="module", autouse=True)
def _hook():
    sys.addaudithook(_refuse)  # it stays, and does nothing outside `read_only`


@pytest.fixture
def read_only():
    """`read_only(folder)` keeps everything below a folder from being written until the end of the test."""
    yield lambda folder: _read_only.append(str(folder))
    _read_only.clear()


READING = {
    "spectrum": (["spectrum"], "rank ", ["figures: "]),
    "reconstruct": (["reconstruct", "--out", "OUT.png"], "OUT.png", []),
    "report": (["report", "--out", "OUT.html"], "OUT.html", []),
    "evaluate": (
        ["evaluate", "--only", "reconstruction,rank"],
        "test MSE",
        ["reconstruction: the result is not stored", "rank: the result is not stored", "report: "],
    ),
    "sample": (["sample", "--out", "OUT.npy"], "64 items in OUT.npy", ["sampler: ", "figures: "]),
    "truncate": (["truncate", "--rank", "2", "--out", "OUT"], "run OUT", []),
    "export": (["export", "--rank", "2", "--out", "OUT"], "OUT/model.safetensors", []),
    "resume": (["resume"], "test error", []),
    "interpolate": (["interpolate", "--out", "OUT"], "OUT/interpolation-linear.png", []),
    "encode": (["encode", "ITEMS", "--out", "OUT.npy"], "96 codes in OUT.npy", []),
    "decode": (["decode", "CODES", "--out", "OUT"], "2 items in OUT", []),
    "compare": (["compare", "RUN", "--out", "OUT.html"], "OUT.html", []),
}


def test_every_command_on_a_run_is_tested_with_one_that_cannot_be_written():
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    on_runs = {name for name, sub in commands.choices.items() if {"run", "runs"} & {a.dest for a in sub._actions}}
    # The explorer serves until it is interrupted; its own tests check that it writes nothing.
    assert on_runs - {"explore"} == set(READING)


@pytest.mark.parametrize("command", READING)
def test_commands_read_a_run_that_cannot_be_written(
    command, trained, image_file, run_cli, tmp_path, monkeypatch, read_only
):
    monkeypatch.chdir(tmp_path)
    np.save("codes.npy", np.zeros((2, 8), np.float32))
    places = {"RUN": trained.path, "ITEMS": image_file, "CODES": "codes.npy"}
    name, *options = (places.get(word, word) for word in READING[command][0])
    _, expected, lost = READING[command]
    shutil.rmtree(trained.path / "samplers", ignore_errors=True)  # another test may have fitted one
    before = {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")}
    read_only(trained.path)
    code, printed, errors = run_cli(name, trained.path, *options)
    assert code == 0, errors
    assert expected in printed
    lines = errors.splitlines()
    assert len(lines) == len(lost), errors
    for line, start in zip(lines, lost, strict=True):
        assert line.startswith(f"lorae: warning: {start}")
        assert "Read-only file system" in line
    assert {path: path.stat().st_mtime_ns for path in trained.path.rglob("*")} == before


@pytest.mark.parametrize("words", [["report"], ["reconstruct"], ["sample"], ["interpolate"]])
def test_commands_that_only_write_into_a_run_say_why_they_cannot(words, trained, run_cli, read_only):
    read_only(trained.path)
    code, printed, errors = run_cli(words[0], trained.path)
    assert (code, printed) == (2, "")
    assert errors.splitlines()[-1].endswith("Read-only file system; pass --out PATH")
    assert "Traceback" not in errors


def fill_disk(monkeypatch, name, folder):
    """Let writes of files of this name in this folder fail as on a full disk."""
    open_descriptor = os.fdopen

    def fdopen(handle, *arguments, **options):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.name.startswith(f".{name}.") and path.parent == folder:
            os.close(handle)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_descriptor(handle, *arguments, **options)

    monkeypatch.setattr(os, "fdopen", fdopen)


# Files that a full disk does not take, with the warning; the report draws its figures elsewhere.
LOSSES = {
    "report.html": "report: ",
    "figures/spectrum.png": "figures: not all are drawn: ",
    "figures/reconstructions.png": "figures: not all are drawn: ",
    "figures/curves.png": "",
    "checkpoints/last.pt": "checkpoint: the training goes on without a new one: ",
}


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are read from /proc")
@pytest.mark.parametrize("lost", LOSSES)
def test_a_full_disk_costs_a_line_and_not_the_training(lost, image_file, small, tmp_path, monkeypatch):
    path = tmp_path / "run" / lost
    fill_disk(monkeypatch, path.name, path.parent)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = lorae.train(str(image_file), out=tmp_path / "run", **small | {"epochs": 1})
    assert run.finished
    assert run.path == tmp_path / "run"
    assert lorae.load(run).spec.latent_dim == 8
    messages = [str(warning.message) for warning in caught]
    assert bool(messages) is bool(LOSSES[lost])
    for message in messages:
        assert message.startswith(LOSSES[lost])
        assert "No space left on device" in message
        assert "\n" not in message


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are read from /proc")
@pytest.mark.parametrize("lost", ["model.safetensors", "evaluation.json", "model.json"])
def test_a_model_that_its_folder_does_not_take_is_stored_elsewhere(lost, image_file, small, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    fill_disk(monkeypatch, lost, tmp_path / "run")
    with pytest.warns(lorae.LoraeWarning, match=r"No space left on device; the run is stored in .*here.* instead"):
        run = lorae.train(str(image_file), out=tmp_path / "run", **small | {"epochs": 1})
    assert run.path.parent == here
    assert run.finished
    assert not Run(tmp_path / "run").finished
    assert run.summary()["test_mse"] > 0
    assert lorae.load(run).spec.latent_dim == 8


def test_statistics_wait_in_memory_while_they_cannot_be_written(trained, tmp_path, read_only):
    run = Run.create(tmp_path / "run", trained.config)
    run.append_stats({"event": "step", "step": 1})
    read_only(run.path)
    run.append_stats({"event": "step", "step": 2})
    assert [record["step"] for record in run.stats()] == [1, 2]
    assert [record["step"] for record in Run(run.path).stats()] == [1]
    _read_only.clear()
    run.append_stats({"event": "step", "step": 3})
    assert [record["step"] for record in Run(run.path).stats()] == [1, 2, 3]


def test_results_that_cannot_be_written_stay_with_the_run_in_memory(trained, tmp_path, read_only):
    run = Run.create(tmp_path / "run", trained.config)
    read_only(run.path)
    with pytest.raises(CannotWriteError, match="Read-only"):
        run.add_to_evaluation({"fid": 1})
    assert run.evaluation() == {"fid": 1}
    assert Run(run.path).evaluation() == {}
