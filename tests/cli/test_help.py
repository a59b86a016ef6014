"""Help, suggestions for mistyped names, next steps, and the progress bar."""

import io
import shlex
import sys

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

import lorae
from lorae.cli.train import COMMON, next_steps
from lorae.runs import Run
from lorae.system import progress


@pytest.fixture
def help_of(capsys, monkeypatch):
    """The help of a command, 80 columns wide."""
    from lorae.cli import main

    def help_of(*words):
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit) as stopped:
            main([*words, "--help"])
        assert stopped.value.code == 0
        return capsys.readouterr().out

    return help_of


def test_lorae_alone_prints_its_help(run_cli, help_of):
    code, printed, errors = run_cli()
    assert (code, errors) == (0, "")
    assert printed == help_of()
    assert "COMMAND" in printed


def test_the_help_of_train_begins_with_examples_and_ten_settings(help_of):
    text = help_of("train")
    first = text.split("more settings:")[0]
    assert len(first.splitlines()) < 60
    assert first.count("\n  lorae train ") == 3
    assert len(COMMON) == 10
    assert all(f"--{name.replace('_', '-')} " in first for name in COMMON)
    assert "--penalties.nuclear" in text.split("more settings:")[1]


def test_examples_of_the_help_are_commands(help_of, run_cli, tmp_path, monkeypatch, images, vectors):
    monkeypatch.chdir(tmp_path)
    np.save("vectors.npy", vectors)
    lines = [line for line in help_of("train").splitlines() if line.startswith("  lorae train ")]
    planned = [line for line in lines if "vectors.npy" in line]
    assert planned
    for line in planned:
        assert run_cli(*shlex.split(line)[1:], "--dry-run")[0] == 0


MISTYPED = {
    "command": (["trian", "mnist"], "trian: unknown command; did you mean train?"),
    "other command": (["evalaute", "RUN"], "evalaute: unknown command; did you mean evaluate?"),
    "data": (["train", "mnits"], "did you mean mnist?"),
    "data in capitals": (["data", "MNIST"], "did you mean mnist?"),
    "data to describe": (["data", "shape"], "did you mean shapes?"),
    "method": (["train", "DATA", "--method", "lorea"], "did you mean lorae?"),
    "flag": (["train", "DATA", "--epcohs", "3"], "did you mean --epochs?"),
    "flag of another command": (["sample", "RUN", "--sampelr", "prior"], "did you mean --sampler?"),
    "choice": (["train", "DATA", "--schedule", "cosin"], "did you mean cosine?"),
    "device": (["train", "DATA", "--device", "cuad"], "did you mean cuda?"),
    "penalty": (["train", "DATA", "--penalties.nuclaer", "1"], "did you mean --penalties.nuclear?"),
    "setting of a file": (["train", "DATA", "--config", "CONFIG"], "did you mean epochs?"),
    "factor": (["data", "shapes", "--factors", "gren"], "did you mean green?"),
    "measure": (["evaluate", "RUN", "--only", "fdi"], "did you mean fid?"),
    "sampler": (["sample", "RUN", "--sampler", "gausian"], "did you mean gaussian?"),
    "samplers": (["evaluate", "RUN", "--samplers", "mixtrue"], "did you mean mixture?"),
    "features": (["evaluate", "RUN", "--only", "fid", "--features", "inceptoin"], "did you mean inception?"),
    "format": (["export", "RUN", "--format", "onxx"], "did you mean onnx?"),
    "study": (["reproduce", "tabel3"], "did you mean table3?"),
    "preset": (["reproduce", "table3", "--preset", "smok"], "did you mean smoke?"),
    "protocol": (["reproduce", "table3", "--protocol", "papre"], "did you mean paper?"),
}


@pytest.mark.parametrize("kind", MISTYPED)
def test_a_mistyped_name_gets_a_suggestion(kind, trained, image_file, run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.yaml").write_text("epohcs: 3\n")
    places = {"RUN": trained.path, "DATA": image_file, "CONFIG": "settings.yaml"}
    words, expected = MISTYPED[kind]
    code, printed, errors = run_cli(*(places.get(word, word) for word in words))
    assert (code, printed) == (2, "")
    assert errors.count("\n") == 1
    assert expected in errors


def test_a_name_like_none_gets_no_suggestion(run_cli):
    code, _, errors = run_cli("train", "zzzzz")
    assert code == 2
    assert "did you mean" not in errors


def test_python_suggests_too(trained, image_file):
    with pytest.raises(lorae.LoraeError, match=r"did you mean lorae\?$"):
        lorae.plan(image_file, method="lorea")
    with pytest.raises(lorae.LoraeError, match=r"did you mean epochs\?$"):
        lorae.plan(image_file, epohcs=3)
    with pytest.raises(lorae.LoraeError, match=r"did you mean nuclear\?"):
        lorae.plan(image_file, penalties={"nuclaer": 1})


def test_next_steps_can_be_pasted_into_a_shell(image_file, small, tmp_path, run_cli):
    flags = [
        f"--{name.replace('_', '-')}={value}" for name, value in (small | {"epochs": 1}).items() if name != "quiet"
    ]
    code, printed, _ = run_cli("train", image_file, "--out", tmp_path / "a run; rm", *flags)
    assert code == 0
    steps = printed.split("next steps:\n")[1].splitlines()
    assert steps == next_steps(Run(tmp_path / "a run; rm"))
    for line, command in zip(steps, ("evaluate", "sample", "truncate"), strict=True):
        assert shlex.split(line) == ["lorae", command, str(tmp_path / "a run; rm")]
    assert run_cli(*shlex.split(steps[1])[1:])[0] == 0


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_bar_fits_its_line_with_bar_count_and_times(width, monkeypatch):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = progress.progress_bar()
    note = "exact rank 26  12,345/s  reconstruction 0.0123  nuclear 12.3  [red]"
    bar.add_task("lorae+ epoch 12/150", total=9999, completed=1234, note=note)
    console.print(bar.get_renderable())
    (line,) = stream.getvalue().rstrip("\n").split("\n")
    assert len(line.rstrip()) <= width
    assert "━" in line or "╸" in line  # a whole cell or half of one
    for part in ("lorae+ epoch 12/150", "1234/9999", "0:00:00", "eta -:--:--"):
        assert part in line
    assert ("rank" in line) is (width >= 80)


def test_the_bar_moves_at_every_step(image_file, small, tmp_path, monkeypatch):
    seen = []
    update = Progress.update
    monkeypatch.setattr(
        Progress, "update", lambda bar, task, **fields: seen.append(fields) or update(bar, task, **fields)
    )
    run = lorae.train(image_file, out=tmp_path / "run", **small | {"epochs": 1})
    last = [record["step"] for record in run.stats("step")][-1]
    counts = [fields["completed"] for fields in seen if "completed" in fields]
    assert set(counts) >= set(range(1, last + 1))
