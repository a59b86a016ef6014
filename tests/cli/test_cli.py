import dataclasses
import json
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest

import lorae
from lorae.cli import parser as cli
from lorae.config.methods import option_names, weight_names
from lorae.config.settings import Settings
from lorae.evaluation.measures import MEASURES
from tests.edited_records import read_edited

pytestmark = pytest.mark.usefixtures("blank_figures")


def flags(settings):
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if name != "quiet"]


def test_train_resume_spectrum_reconstruct_report(run_cli, image_file, small, tmp_path):
    out = tmp_path / "run"
    code, printed, errors = run_cli("train", image_file, "--out", out, "--json", *flags(small))
    assert (code, errors) == (0, "")
    summary = json.loads(printed)
    assert set(summary) >= {"run", "epochs", "seconds", "images_per_second", "loss", "rank", "test_mse"}
    assert summary["run"] == str(out)
    assert set(summary["loss"]) == {"total", "reconstruction", "nuclear"}
    for name in ("config.json", "stats.jsonl", "model.safetensors", "model.json", "evaluation.json", "report.html"):
        assert (out / name).is_file(), name

    code, printed, _ = run_cli("spectrum", out, "--json")
    spectrum = json.loads(printed)
    assert code == 0
    assert set(spectrum) >= {"rank", "tolerance", "ranks", "eigenvalues", "split", "n"}
    assert spectrum["rank"] == summary["rank"] == spectrum["ranks"]["0.001"]
    assert spectrum["eigenvalues"] == sorted(spectrum["eigenvalues"], reverse=True)
    assert len(spectrum["eigenvalues"]) == small["latent_dim"]

    code, printed, _ = run_cli("reconstruct", out, "-n", 3, "--json")
    assert code == 0
    assert json.loads(printed)["figure"] == str(out / "figures" / "reconstructions.png")

    assert json.loads(run_cli("resume", out, "--json")[1]) == summary
    code, printed, _ = run_cli("report", out, out, "--out", tmp_path / "page.html")
    assert code == 0
    assert (tmp_path / "page.html").is_file()


def test_plain_output_names_rank_error_and_report(run_cli, trained):
    code, printed, _ = run_cli("resume", trained.path)
    assert code == 0
    assert f"rank        {trained.summary()['rank']} " in printed
    assert f"test error  {trained.summary()['test_mse']:.6f}" in printed
    assert str(trained.path / "report.html") in printed
    code, printed, _ = run_cli("spectrum", trained.path)
    assert code == 0
    assert "tolerance" in printed


GOALS = {
    "path": (
        ["--penalty-path", "1e-3:1:3"],
        ["penalty", "0.0316", "* the knee, penalty", "models "],
        "lorae: warning: penalty_path: got 0.001:1, but the rank is 6 at every point",  # after so few steps
    ),
    "search": (["--target-mse", "0.9"], ["rank", "rank chosen 1 (error on items set aside at most 0.9)"], ""),
}


@pytest.mark.parametrize("goal", GOALS)
def test_what_was_tried_on_the_way_to_a_rank_is_printed(goal, run_cli, vectors, tmp_path):
    words, expected, warning = GOALS[goal]
    np.save(tmp_path / "vectors.npy", vectors)
    options = ["--out", tmp_path / "run", "--epochs", 3, "--batch-size", 16, "--lr", "3e-3"]
    code, printed, errors = run_cli("train", tmp_path / "vectors.npy", *words, *options)
    assert code == 0
    assert errors.startswith(warning) if warning else errors == ""
    for part in expected:
        assert part in printed
    schedule = json.loads(run_cli("resume", tmp_path / "run", "--json")[1])["schedule"]
    assert schedule == json.loads((tmp_path / "run" / "evaluation.json").read_text())["schedule"]
    for row in schedule.get("points") or schedule["tried"]:
        assert f"{row['mse']:.4g}" in printed
    # The command of a config trains the same run, whoever wrote the setting.
    config = tmp_path / "run" / "config.json"
    planned = lorae.plan(tmp_path / "vectors.npy", config=config, out=tmp_path / "other")
    again = shlex.split(planned["command"])
    code, printed, _ = run_cli(*again[1:], "--dry-run")
    assert code == 0
    assert json.loads(printed)["settings"] == json.loads(config.read_text())["settings"]


def test_a_missed_target_is_one_line_on_standard_error(run_cli, vectors, tmp_path):
    np.save(tmp_path / "vectors.npy", vectors)
    words = ["--target-mse", "1e-9", "--epochs", 2, "--out", tmp_path / "run", "--json"]
    code, printed, errors = run_cli("train", tmp_path / "vectors.npy", *words)
    assert code == 0
    assert json.loads(printed)["schedule"]["reached"] is False
    target, behind_pca = errors.splitlines()
    assert target.startswith("lorae: warning: target_mse: got 1e-09, ")
    assert behind_pca.startswith("lorae: warning: explained variance: ")


def test_runs_to_different_goals_have_different_folders(run_cli, vectors, tmp_path, monkeypatch):
    """The README's commands can be run one after another."""
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", vectors)
    goals = (
        ["--rank", "2"],
        ["--rank", "0.9"],
        ["--rank", "auto"],
        ["--target-mse", "0.1"],
        ["--penalty-path", "1e-3:1:3"],
        ["--method", "lorae+"],
    )
    outs = [json.loads(run_cli("train", "v.npy", *words, "--dry-run")[1])["command"].split()[-1] for words in goals]
    assert outs == [
        f"runs/v-lorae+-0.001{goal}" for goal in ("-rank2", "-rank0.9", "-rankauto", "-mse0.1", "-path0.001to1in3", "")
    ]


def test_dry_run_prints_the_config_that_train_would_write_and_writes_nothing(run_cli, image_file, small, tmp_path):
    words = ["train", image_file, "--out", tmp_path / "run", *flags(small)]
    code, printed, _ = run_cli(*words, "--dry-run")
    assert code == 0
    assert not (tmp_path / "run").exists()
    planned = json.loads(printed)
    assert None not in [planned["settings"][name] for name in ("network", "latent_dim", "epochs", "matrix_init")]
    assert run_cli(*words)[0] == 0
    written = read_edited(tmp_path / "run" / "config.json")
    del planned["created"], written["created"]
    assert planned == written


def test_command_in_the_config_is_one_that_works(trained, tmp_path):
    words = trained.config["command"].split()
    assert words[:2] == ["lorae", "train"]
    again = tmp_path / "again"
    assert cli.main([*words[1 : words.index("--out")], "--out", str(again)]) == 0
    assert lorae.load(again).state_dict().keys() == lorae.load(trained).state_dict().keys()
    assert json.loads((again / "config.json").read_text())["settings"] == trained.config["settings"]


def test_flags_win_over_the_file(run_cli, image_file, tmp_path):
    (tmp_path / "a.yaml").write_text("epochs: 7\nlr: 1e-4\npenalties:\n  nuclear: 0.5\n")
    code, printed, _ = run_cli("train", image_file, "--config", tmp_path / "a.yaml", "--lr", "0.01", "--dry-run")
    assert code == 0
    settings = json.loads(printed)["settings"]
    assert (settings["epochs"], settings["lr"], settings["penalties"]) == (7, 0.01, {"nuclear": 0.5})


@pytest.mark.parametrize("content", ["penalty: 1e-4", "penalties: {nuclear: 1e-4}"])
@pytest.mark.parametrize("flag", ["--penalty", "--penalties.nuclear"])
def test_a_weight_on_the_command_line_wins_however_it_is_written(content, flag, run_cli, image_file, tmp_path):
    (tmp_path / "a.yaml").write_text(content)
    code, printed, _ = run_cli("train", image_file, "--config", tmp_path / "a.yaml", flag, "0.5", "--dry-run")
    assert code == 0
    assert json.loads(printed)["settings"]["penalties"] == {"nuclear": 0.5}


def test_data_says_what_is_there(run_cli, image_file):
    code, printed, _ = run_cli("data", image_file, "--json")
    described = json.loads(printed)
    assert code == 0
    assert sum(described["splits"].values()) == 96
    assert described["shape"] == [1, 16, 16]
    code, printed, _ = run_cli("data", image_file)
    assert code == 0
    assert "fingerprint" in printed


def test_methods_lists_the_zoo(run_cli):
    rows = json.loads(run_cli("methods", "--json")[1])
    assert all({"name", "source", "summary"} <= set(row) for row in rows)
    printed = run_cli("methods")[1]
    assert all(row["name"] in printed for row in rows)


def test_every_setting_and_penalty_is_a_flag(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    printed = capsys.readouterr().out
    names = [
        field.replace("_", "-")
        for field in Settings.__dataclass_fields__
        if field not in ("data", "penalties", "bottleneck")
    ]
    parts = [f"penalties.{name}" for name in weight_names()] + [f"bottleneck.{name}" for name in option_names()]
    for name in [*names, *parts]:
        assert f"--{name} " in printed.replace("\n", " "), name


def test_help_needs_no_torch():
    program = (
        "import sys; from lorae import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "cli.main(['methods'])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, timeout=60)


BAD_INPUT = {
    "unknown data": (["train", "mnits"], ["'mnits'", "mnist, fashion-mnist, celeba"]),
    "unknown method": (["train", "mnist", "--method", "lorea"], ["'lorea'", "ae, irmae, lorae"]),
    "unknown option": (["train", "mnist", "--epoch", "3"], ["--epoch", "did you mean --epochs"]),
    "unknown penalty": (["train", "mnist", "--penalties.nuclera", "3"], ["--penalties.nuclera", "nuclear"]),
    "negative epochs": (["train", "mnist", "--epochs", "-1"], ["epochs", "'-1'", "at least 1"]),
    "negative penalty": (["train", "mnist", "--penalty", "-1e-3"], ["penalty", "'-1e-3'", "at least 0"]),
    "no number": (["train", "mnist", "--lr", "fast"], ["lr", "'fast'", "a number above 0"]),
    "no run": (["spectrum", "nowhere"], ["'nowhere'", "config.json", "lorae train"]),
    "unknown command": (["trian"], ["trian", "train"]),
    "no such command": (["trian"], ["trian", "train"]),
    "no such config": (["train", "mnist", "--config", "no.yaml"], ["no.yaml", "No such file"]),
    "root without files": (["train", "mnist", "--data-root", "."], ["train-images-idx3-ubyte"]),
    "root that is not used": (["data", "shapes", "--data-root", "x"], ["data_root: got 'x'", "mnist, fashion-mnist"]),
    "two weights of one": (
        ["train", "shapes", "--penalty", "1", "--penalties.nuclear", "2"],
        ["penalty: got 1 and penalties.nuclear 2"],
    ),
    "bad rank": (["train", "mnist", "--rank", "many"], ["rank: got 'many'", "or auto", "--rank"]),
    "rank above the latent": (["train", "shapes-grey", "--rank", "200"], ["rank: got 200, expected at most 128"]),
    "bad path": (["train", "mnist", "--penalty-path", "1:0"], ["penalty_path: got '1:0'", "LOW < HIGH"]),
    "two goals": (
        ["train", "shapes-grey", "--rank", "3", "--target-mse", "0.1"],
        ["target_mse: got 0.1 beside rank, expected one of them"],
    ),
    "rank without an exact one": (
        ["train", "shapes-grey", "--method", "lorae", "--rank", "3"],
        ["rank: got 3, which needs an exact rank", "--method lorae+", "--matrix-update prox"],
    ),
    "rank of a method without M": (["train", "shapes-grey", "--method", "vae", "--rank", "3"], ["exact rank"]),
    "celeba without root": (["data", "celeba"], ["img_align_celeba", "--data-root"]),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2_and_touches_nothing(case, run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, expected = BAD_INPUT[case]
    code, printed, errors = run_cli(*words)
    assert code == 2
    assert printed == ""
    assert errors.startswith("lorae: ")
    assert errors.count("\n") == 1, errors
    for part in expected:
        assert part in errors, errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("epochs: [1", "not YAML"),
        ("- 1", "holds list, expected settings"),
        ("epoch: 3", "did you mean epochs"),
        ("epochs: many", "got 'many'"),
        ("penalties: 3", "expected a mapping"),
        ("penalties: {nuclear: -1}", "penalties.nuclear: got -1"),
        ("penalties: {nope: 1}", "got 'nope'"),
        ("1: 2", "expected settings by name"),
        ("a: &a [1, 2]\nb: *a", "it uses an alias, expected plain settings"),
        ("[" * 10_000, "not YAML"),
    ],
)
def test_bad_config_file_is_named(content, expected, run_cli, image_file, tmp_path):
    (tmp_path / "bad.yaml").write_text(content)
    code, _, errors = run_cli("train", image_file, "--config", tmp_path / "bad.yaml")
    assert code == 2
    assert errors.count("\n") == 1
    assert expected in errors
    assert "bad.yaml" in errors


def test_bad_image_files_are_counted_and_named_or_skipped(run_cli, small, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)).save(tmp_path / f"{index:02}.png")
    (tmp_path / "05.png").write_bytes((tmp_path / "05.png").read_bytes()[:60])
    (tmp_path / "notes.png").write_text("not an image")
    code, _, errors = run_cli("train", tmp_path, "--size", 16, "--out", tmp_path / "run", *flags(small))
    assert code == 2
    assert errors.count("\n") == 1
    for part in ("2 of 13", "05.png", "notes.png", "--skip-bad"):
        assert part in errors
    assert not (tmp_path / "run").exists()
    words = ["train", tmp_path, "--size", 16, "--skip-bad", "--json", "--out", tmp_path.parent / "skipped"]
    code, _, errors = run_cli(*words, *flags(small))
    assert code == 2
    assert "1 of 11 items are in the test split, expected at least 2" in errors
    assert not (tmp_path.parent / "skipped").exists()
    code, printed, _ = run_cli(*words, "--test-fraction", 0.3, *flags(small))
    assert code == 0
    assert json.loads(printed)["epochs"] == small["epochs"]


def test_there_is_no_progress_bar_on_a_pipe(image_file, small, tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "lorae", "train", str(image_file), "--out", str(tmp_path / "run"), *flags(small)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert result.stderr == ""
    assert "report" in result.stdout


def test_the_help_of_evaluate_names_every_measure(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert all(name in words for name in MEASURES)


def interrupted(*_, **__):
    raise KeyboardInterrupt


def test_an_interrupted_evaluation_says_what_is_stored_and_how_to_go_on(trained, run_cli, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(trained.path, run)
    monkeypatch.setitem(MEASURES, "dimension", dataclasses.replace(MEASURES["dimension"], take=interrupted))
    code, printed, errors = run_cli("evaluate", run, "--only", "rank,dimension,reconstruction")
    assert (code, printed) == (130, "")
    stored, go_on = "reconstruction, rank", f"lorae evaluate {run} --only dimension"
    assert errors == f"lorae: interrupted while measuring dimension; stored: {stored}; continue with `{go_on}`\n"


def test_an_interrupt_after_the_training_keeps_it(image_file, small, run_cli, tmp_path, monkeypatch):
    monkeypatch.setattr("lorae.evaluation.figures.measure_spectrum", interrupted)
    run = tmp_path / "a run"
    code, printed, errors = run_cli("train", image_file, "--out", run, *flags(small | {"epochs": 1}))
    assert (code, printed) == (130, "")
    assert errors == f"lorae: interrupted after the training, which is saved; measure it with `lorae resume '{run}'`\n"
    assert (run / "model.safetensors").exists()
    monkeypatch.undo()
    assert run_cli("resume", run)[0] == 0


def test_an_interrupt_before_anything_is_stored_says_so(run_cli, monkeypatch, image_file):
    monkeypatch.setattr("lorae.api.training.load_dataset", interrupted)
    code, _, errors = run_cli("train", image_file)
    assert (code, errors) == (130, "lorae: interrupted before anything was stored; run the command again\n")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 15 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 15 bytes\nat line 3"),
    ],
)
def test_a_lack_of_memory_is_one_line(error, run_cli, monkeypatch, image_file):
    def load(*args, **options):
        raise error

    monkeypatch.setattr("lorae.api.training.load_dataset", load)
    code, _, errors = run_cli("train", image_file)
    assert code == 2
    assert errors.count("\n") == 1
    assert errors.startswith("lorae: not enough memory: ")


def test_other_errors_of_the_run_time_are_bugs_with_a_traceback(run_cli, monkeypatch, image_file):
    def load(*args, **options):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("lorae.api.training.load_dataset", load)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run_cli("train", image_file)


@pytest.mark.parametrize(
    "name", ["two\nlines", "bell\a", "\x1b[31mred\x1b[0m", "x" * 5000, "\x9b31m", "[/v2]", "\udcff"]
)
def test_names_neither_break_nor_color_nor_fill_a_message(name, run_cli):
    for words in (["spectrum", name], ["data", name], ["train", "mnist", "--method", name], ["fid", name, name]):
        code, _, errors = run_cli(*words)
        assert code == 2
        assert errors.startswith("lorae: ")
        assert errors.endswith("\n")
        assert errors.removesuffix("\n").isprintable()
        assert len(errors) < 1300
    assert "[/v2]" in errors or name != "[/v2]"


@pytest.mark.parametrize("words", [["train", "ITEMS"], ["truncate", "RUN", "--rank", "2"], ["encode", "RUN", "ITEMS"]])
def test_a_name_that_is_too_long_is_refused_before_the_work(words, trained, image_file, run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"RUN": trained.path, "ITEMS": image_file}
    code, _, errors = run_cli(*(places.get(word, word) for word in words), "--out", "x" * 300 + ".npy")
    assert code == 2
    assert "File name too long" in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())
