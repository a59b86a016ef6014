"""The report: one page that stands alone, says what the run folder says, and survives unfinished runs."""

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from lorae.errors import LoraeError
from lorae.plotting.image_grids import plot_reconstructions
from lorae.reports.report import write_report

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A page that was parsed: its text, its start tags, and whether every tag was closed in order."""

    def __init__(self, path):
        super().__init__()
        self.raw = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(self.raw)
        self.close()
        assert self.open == [], f"never closed: {self.open}"
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.words.append(" " if tag in ("th", "td") else "")
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> out of order"

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def make_run(folder, *, method="lorae", finished=True, shape=(1, 32, 32), reconstructed=True, **changes):
    folder.mkdir(parents=True)
    config = {
        "version": "0.1.0",
        "command": "lorae train mnist --penalty 1e-4 --epochs 3",
        "created": "2026-11-23T23:00:00",
        "settings": {"data": "mnist", "method": method, "penalties": {"nuclear": 0.0001}, "latent_dim": 128}
        | {"epochs": 3, "lr": 0.001, "seed": 123456, "skip_bad": False, "crop": None},
        "data": {
            "name": "mnist",
            "kind": "vectors" if len(shape) == 1 else "images",
            "shape": list(shape),
            "fingerprint": "sha256:abc123",
        }
        | {"splits": {"train": 60000, "test": 10000}, "source": "/data/mnist", "intrinsic_dimension": None},
        "parameters": {"encoder": 820320, "bottleneck": 16384, "decoder": 1220737},
        "machine": {"torch": "2.13.0", "device": "cpu", "threads": 2},
    }
    for key, value in changes.items():
        config[key] = config[key] | value
    (folder / "config.json").write_text(json.dumps(config))
    lines = []
    for step in range(100, 1001, 100):
        terms = {"reconstruction": 1 / step, "nuclear": 61.2}
        lines.append({"event": "step", "step": step, "epoch": 1 + (step - 1) // 500, "loss": 0.03, "terms": terms})
        lines[-1] |= {
            "weights": {"nuclear": 1e-4},
            "rank": 31,
            "images_per_second": 1700.0,
            "seconds": step / 8,
        }
        if step % 500 == 0:
            lines.append({"event": "epoch", "step": step, "epoch": step // 500, "test_mse": 0.00345, "rank": 29})
            lines[-1] |= {"images_per_second": 1690.0, "seconds": step / 8}
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if reconstructed:
        images = np.zeros((8, 1, 8, 8), np.uint8)
        plot_reconstructions(images, images, folder / "figures" / "reconstructions.png")
    if finished:
        (folder / "evaluation.json").write_text(json.dumps(evaluation()))
        for name in ("model.json", "model.safetensors"):  # of which a report needs only that they are there
            (folder / name).touch()
    return folder


def evaluation():
    eigenvalues = [*np.geomspace(1, 1e-2, 28), *np.full(100, 1e-9)]
    ranks = {"0.1": 9, "0.01": 22, "0.001": 28, "0.0001": 28, "1e-05": 33, "1e-06": 37}
    return {
        "reconstruction": {"mse": 0.0027, "n": 10000, "protocol": {"split": "test", "weights": "collapsed"}},
        "rank": {"rank": 28, "tolerance": 0.001, "ranks": ranks, "eigenvalues": eigenvalues, "energy_99": 21}
        | {"entropy_rank": 17.21, "stable_rank": 5.13, "n": 10000, "split": "test"}
        | {"protocol": {"matrix": "covariance of the codes"}},
    }


def test_one_run_says_what_its_folder_says(tmp_path):
    run = make_run(tmp_path / "mnist-lorae")
    path = write_report([run])
    assert path == run / "report.html"
    text = Page(path).text
    for words in [
        "mnist-lorae lorae · nuclear 0.0001 · mnist",
        "Rank 28 of 128",
        "10⁻³ (the tolerance)",
        "Test MSE 0.0027",
        "on 10,000 images kept out of training",
        "Training time 2 min 05 s 1,000 steps in 2 epochs, on cpu.",
        "Images per second 1,700",
        "Tolerance 10⁻¹ 10⁻² 10⁻³ 10⁻⁴ 10⁻⁵ 10⁻⁶ Rank 9 22 28 28 33 37",
        "21 directions hold 99 % of the variance. Ranks that need no tolerance: entropy rank 17.21",
        "lorae train mnist --penalty 1e-4 --epochs 3",
        "parameters, once collapsed 2,041,057",
        "shape 1 × 32 × 32",
        "splits train 60000, test 10000",
        "fingerprint sha256:abc123",
        "matrix covariance of the codes",
        "weights collapsed",
        "seed 123456 skip bad no crop none",
    ]:
        assert words in text, words
    assert "not finished" not in text
    assert "lorae reconstruct" not in text


def test_the_page_stands_alone(tmp_path):
    path = write_report([make_run(tmp_path / "run")])
    page = Page(path)
    for forbidden in ("http://", "https://", 'src="//', 'href="//', "@import", "<script"):
        assert forbidden not in page.raw, forbidden
    assert page.raw.count("url(") == page.raw.count("url(#")  # parts of the page itself
    assert page.raw.startswith("<!DOCTYPE html>")
    viewports = [meta["content"] for meta in page.attributes("meta") if meta.get("name") == "viewport"]
    assert viewports == ["width=device-width, initial-scale=1"]
    assert "prefers-color-scheme: dark" in page.raw
    plots = page.attributes("svg")
    assert [plot["class"] for plot in plots] == ["plot wide", "plot narrow"] * 2
    assert all(plot["role"] == "img" and plot["aria-labelledby"] for plot in plots)
    images = page.attributes("img")
    assert len(images) == 1
    for image in images:
        assert image["alt"]
        kind, data = image["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def test_the_plots_are_kept_and_nothing_else_is_left(tmp_path):
    run = make_run(tmp_path / "run")
    before = (run / "figures" / "reconstructions.png").read_bytes()
    write_report([str(run)])
    write_report([run])
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    figures = {f"figures/{name}.png" for name in ("curves", "reconstructions", "spectrum")}
    records = {"config.json", "stats.jsonl", "evaluation.json", "model.json", "model.safetensors"}
    assert names == {"report.html"} | records | figures
    assert (run / "figures" / "reconstructions.png").read_bytes() == before


def test_text_is_escaped(tmp_path):
    run = make_run(tmp_path / "a<i>&b", method="<b>", data={"name": "</style><script>x</script>"})
    page = Page(write_report([run]))
    assert "method <b>" in page.text
    assert "a<i>&b" in page.text
    assert not {"b", "i", "script"} & {tag for tag, _ in page.tags}


def test_further_figures_are_shown(tmp_path):
    run = make_run(tmp_path / "run")
    figures = run / "figures"
    (figures / "samples_gmm.png").write_bytes((figures / "reconstructions.png").read_bytes())
    page = Page(write_report([run]))
    assert "Samples gmm" in page.text
    assert len(page.attributes("img")) == 2


def test_several_runs_are_compared(tmp_path, monkeypatch):
    runs = [make_run(tmp_path / "a" / "one"), make_run(tmp_path / "two", method="ae", finished=False)]
    runs.append(make_run(tmp_path / "b" / "one"))
    monkeypatch.chdir(tmp_path)
    path = write_report(["a/one", "two", "b/one", runs[0]])
    assert path.resolve() == tmp_path / "lorae-report.html"
    page = Page(path)
    assert "3 runs compared" in page.text
    assert "Rank at 10⁻³ Test MSE Latent Penalties Epochs Time Parameters" in page.text
    assert "a/one lorae 28 0.0027 128 nuclear 0.0001 3 2 min 05 s 2,041,057" in page.text
    assert re.search(r"two ?not finished ae – – 128 nuclear 0.0001 3 2 min 05 s 2,041,057", page.text)
    assert "b/one lorae" in page.text
    assert [link["href"] for link in page.attributes("a")] == ["#run-1", "#run-2", "#run-3"]
    assert [section["id"] for section in page.attributes("section")] == ["run-1", "run-2", "run-3"]
    # Plots in two widths: the overlay; spectrum and curves of two; the last of the unfinished run.
    assert len(page.attributes("svg")) == 2 * (1 + 2 + 2 + 1)
    # Reconstructions are side by side, so that no run has them again.
    assert len(page.attributes("img")) == 3
    assert page.text.count("Figures, training and settings of") == 3
    assert page.text.count("fingerprint sha256:abc123") == 1  # they share their data
    assert "different data" not in page.text


def test_runs_on_different_data_are_marked(tmp_path):
    other = make_run(tmp_path / "two", data={"fingerprint": "sha256:def"})
    path = write_report([make_run(tmp_path / "one"), other], tmp_path / "sub" / "both.html")
    assert path == tmp_path / "sub" / "both.html"
    assert "These runs used different data" in Page(path).text


def test_ranks_at_different_tolerances_keep_theirs(tmp_path):
    runs = [make_run(tmp_path / "one"), make_run(tmp_path / "two")]
    changed = evaluation()
    changed["rank"] |= {"tolerance": 0.01, "rank": 22}
    (runs[1] / "evaluation.json").write_text(json.dumps(changed))
    text = Page(write_report(runs, tmp_path / "both.html")).text
    assert "28 at 10⁻³" in text
    assert "22 at 10⁻²" in text


def test_an_unfinished_run_says_how_to_go_on(tmp_path):
    run = make_run(tmp_path / "my run", finished=False, reconstructed=False)
    page = Page(write_report([run]))
    assert "This run is not finished. Its log ends at epoch 2 of 3, step 1,000." in page.text
    assert f"lorae resume '{run}'" in page.text
    assert f"lorae reconstruct '{run}'" in page.text
    assert "Rank 29 of 128 After epoch 2; not yet the final evaluation." in page.text
    assert "Test MSE 0.00345 After epoch 2" in page.text
    assert len(page.attributes("svg")) == 2


def test_a_run_whose_measuring_was_interrupted_is_not_finished(tmp_path):
    run = make_run(tmp_path / "run", reconstructed=False)
    (run / "model.json").unlink()  # the last file: figures are drawn before it, from evaluation.json
    page = Page(write_report([run]))
    assert "This run is not finished" in page.text
    assert f"lorae resume {run}" in page.text
    assert f"lorae evaluate {run}" not in page.text
    assert f"lorae reconstruct {run}" in page.text
    both = Page(write_report([run, make_run(tmp_path / "other")], tmp_path / "both.html"))
    assert both.text.count("not finished lorae") == 1


@pytest.mark.parametrize("log", [None, b"", b'{"event": "st', b'{"event": "step", "step": 1}\n'])
def test_a_run_that_has_hardly_begun(tmp_path, log):
    run = make_run(tmp_path / "run", finished=False, reconstructed=False)
    if log is None:
        (run / "stats.jsonl").unlink()
    else:
        (run / "stats.jsonl").write_bytes(log)
    text = Page(write_report([run])).text
    assert "This run is not finished" in text
    assert "Test MSE – Not measured yet." in text


@pytest.mark.parametrize("cut", [b'{"event": "step", "st', b'{"event": "epoch", "note": "caf\xc3', b"{"])
def test_a_last_line_that_was_cut_off_is_ignored(tmp_path, cut):
    run = make_run(tmp_path / "run")
    with (run / "stats.jsonl").open("ab") as file:
        file.write(cut)
    assert "1,000 steps in 2 epochs" in Page(write_report([run])).text


@pytest.mark.parametrize("line", ["{broken", "[1]", '{"step": 3}', "\\"])
def test_a_broken_line_within_the_log_is_named(tmp_path, line):
    run = make_run(tmp_path / "run")
    path = run / "stats.jsonl"
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(LoraeError, match=r"stats\.jsonl, line 1: not a record") as error:
        write_report([run])
    assert "\n" not in str(error.value)
    assert not (run / "report.html").exists()


def test_vectors_are_not_called_images(tmp_path):
    run = make_run(tmp_path / "run", shape=(20,), data={"intrinsic_dimension": 4})
    text = Page(write_report([run])).text
    assert "per entry, on 10,000 vectors" in text
    assert "Vectors per second" in text
    assert "The data are known to have 4 degrees of freedom." in text


def test_what_is_no_run_folder_is_named(tmp_path):
    with pytest.raises(LoraeError, match=r"nowhere' is no run folder \(it has no config\.json\)"):
        write_report([tmp_path / "nowhere"])
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(LoraeError, match="is a sweep, with runs in its folder trials; expected"):
        write_report([tmp_path])
    (tmp_path / "sweep.json").unlink()
    with pytest.raises(LoraeError, match="is no run folder"):
        write_report([make_run(tmp_path / "run"), tmp_path])
    with pytest.raises(LoraeError, match="no run given"):
        write_report([])


@pytest.mark.parametrize("name", ["config.json", "evaluation.json"])
@pytest.mark.parametrize("content", ['{"version": ', "[]", ""])
def test_broken_json_is_named(tmp_path, name, content):
    run = make_run(tmp_path / "run")
    (run / name).write_text(content)
    with pytest.raises(LoraeError, match=re.escape(str(run / name))):
        write_report([run])


def test_a_page_that_cannot_be_written_is_named(tmp_path):
    run = make_run(tmp_path / "run")
    with pytest.raises(LoraeError, match=r"cannot write .*page\.html"):
        write_report([run], run / "config.json" / "page.html")


def test_importing_the_report_imports_no_torch():
    program = "import sys, lorae.reports.report; assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_how_a_rank_was_chosen_has_a_figure_a_sentence_and_a_table(tmp_path):
    run = make_run(tmp_path / "searched")
    evaluation = json.loads((run / "evaluation.json").read_text())
    tried = [{"rank": 128, "mse": 0.0021}, {"rank": 64, "mse": 0.0024}, {"rank": 32, "mse": 0.0107}]
    evaluation["course"] = {"rank": 64, "mse": 0.0023, "bound": 0.01, "reached": True, "tried": tried}
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    page = Page(write_report([run]))
    assert "How the rank was chosen" in page.text
    assert "an error of at most 0.01 was allowed" in page.text
    assert "Rank Error 128 0.0021 64 0.0024 * 32 0.0107" in page.text
    assert (run / "figures" / "ranks.png").read_bytes().startswith(b"\x89PNG")
    assert "run-1-ranks-wide-title" in page.raw
    plain = Page(write_report([make_run(tmp_path / "plain")]))
    assert "How the rank was chosen" not in plain.text
