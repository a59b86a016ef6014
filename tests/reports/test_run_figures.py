"""Figures of a report are drawn from kept arrays: of any items, of bounded size, and one that fails costs a warning."""

import base64
import dataclasses
import io
import json
import os
import re
import shlex
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lorae.cli.parser import build_parser
from lorae.errors import LoraeWarning
from lorae.plotting.image_grids import plot_grid
from lorae.reports.formatting import number
from lorae.reports.next_steps import SECTIONS, next_steps
from lorae.reports.page_figures import picture_source
from lorae.reports.report import write_report
from lorae.reports.run_view import load_all
from lorae.runs.figure_data import FigureData, FigureDataFile, write_figure_items
from tests.reports.test_report import Page, evaluation, make_run


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def of_images(shape=(1, 8, 8), labels=None):
    errors = np.geomspace(0.01, 0.5, 50).astype(np.float32)
    return FigureData(
        originals=noise(32, *shape),
        reconstructions=noise(32, *shape),
        errors=errors,
        worst=noise(8, 2, *shape),
        best=noise(8, 2, *shape),
        worst_errors=errors[:-9:-1],
        best_errors=errors[:8],
        codes=np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32),
        codes_of_test=np.array([1]),
        labels=labels,
        shares=np.array([0.5, 0.3], dtype=np.float32),
        traversals=noise(2, 8, *shape),
        positions=np.linspace(-2, 2, 8, dtype=np.float32),
    )


def of_vectors(d):
    values = np.random.default_rng(0).normal(size=(200, d)).astype(np.float32)
    changes = {
        "originals": values[:32],
        "reconstructions": values[:32] + 1,
        "worst": values[:16].reshape(8, 2, d),
        "best": values[16:32].reshape(8, 2, d),
        "traversals": values[:16].reshape(2, 8, d),
    }
    return dataclasses.replace(of_images(), **changes)


def page_of(run, data):
    FigureDataFile(run).write(data)
    return Page(write_report([run]))


def sizes(page):
    contents = [base64.b64decode(image["src"].split(",")[1]) for image in page.attributes("img")]
    return [Image.open(io.BytesIO(content)).size for content in contents]


def test_images_are_shown_eight_in_a_row_with_every_figure(tmp_path):
    page = page_of(make_run(tmp_path / "run"), of_images(labels=np.arange(1000) % 4))
    headings = re.findall(r"<h[23]>([^<]+)</h", page.raw)
    assert headings[:8] == [
        "Latent spectrum",
        "Reconstructions",
        "Errors of single items",
        "Worst reconstructed",
        "Best reconstructed",
        "Along the first axes",
        "Codes along the first two axes",
        "Training",
    ]
    assert "axis 1: 50.0% of the variance" in page.text
    assert "Errors of 50 test images: half are below 0.07" in page.text
    ends = [number(float(error)) for error in of_images().worst_errors[[0, -1]]]
    assert f"largest errors, {ends[0]} to {ends[1]}, above" in page.text
    assert "Codes of 1,000 test images along the first two principal axes of the latents, by class." in page.text
    # Rows: four of pairs, one of the worst, one of the best, two of axes. Images are 96 pixels wide, with gaps of 4.
    assert sizes(page) == [(796, 196)] * 6 + [(796, 96)] * 2
    assert all(image["alt"] for image in page.attributes("img"))
    assert len(page.attributes("svg")) == 2 * 4


def test_fewer_images_are_not_shown_larger(tmp_path):
    data = dataclasses.replace(of_images(), originals=noise(3, 1, 8, 8), reconstructions=noise(3, 1, 8, 8))
    page = page_of(make_run(tmp_path / "run"), data)
    assert page.attributes("img")[0]["style"] == "width: 37.5%"


@pytest.mark.parametrize("columns", [["a", "</text><script>b"], [f"column {number}" for number in range(9)], None])
def test_vectors_are_drawn_under_the_names_of_their_columns(columns, tmp_path):
    d = 300 if columns is None else len(columns)
    run = make_run(tmp_path / "run", shape=(d,), data={"columns": columns or []})
    page = page_of(run, of_vectors(d))
    assert "value, standardized" in page.text
    for name in columns or ["column"]:
        assert name in page.text
    assert "script" not in {tag for tag, _ in page.tags}
    assert "Worst and best reconstructed" in page.text
    assert not page.attributes("img")[1:]
    assert len(page.raw) < 2_000_000


def test_the_size_of_a_page_is_bounded_whatever_the_images(tmp_path):
    run = make_run(tmp_path / "run", shape=(3, 64, 64), reconstructed=False)
    for name in ("samples-gaussian", "samples-mixture", "samples-prior", "interpolation-linear"):
        path = run / "figures" / f"{name}.png"
        plot_grid(noise(100, 3, 8, 8), path)
        write_figure_items(noise(50, 12, 3, 64, 64) if "inter" in name else noise(300, 3, 64, 64), path)
    for place in range(9):
        Image.fromarray(noise(3000, 3000, 3)).save(run / "figures" / f"own-{place}.png", compress_level=0)
    page = page_of(
        run, dataclasses.replace(of_images((3, 64, 64)), traversals=noise(6, 8, 3, 64, 64), shares=np.ones(6))
    )
    assert len(page.raw) < 15_000_000
    assert "5 more in the run's folder figures." in page.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes of a name")
def test_a_pipe_among_the_figures_is_not_waited_for(tmp_path):
    run = make_run(tmp_path / "run")
    os.mkfifo(run / "figures" / "own.png")
    program = "import sys; from lorae.reports.report import write_report; print(write_report(sys.argv[1:]))"
    words = [sys.executable, "-c", program, str(run)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert "figures: not drawn: own: not a regular file" in done.stderr
    assert "Latent spectrum" in (run / "report.html").read_text()


def test_of_a_picture_only_its_pixels_are_in_the_page(tmp_path):
    path, texts = tmp_path / "own.png", PngInfo()
    texts.add_text("Comment", "x" * 2_000_000)
    pixels = noise(4, 5, 4)
    pixels[0, 0, 3], pixels[1, 1, 3] = 0, 255
    exif = Image.Exif()
    exif[0x9286] = "y" * 60_000  # UserComment
    Image.fromarray(pixels).save(path, pnginfo=texts, exif=exif, icc_profile=b"z" * 10_000)
    source = picture_source(path)
    assert len(source) < 1000
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    np.testing.assert_array_equal(shown[0, 0], 255)  # on white
    np.testing.assert_array_equal(shown[1, 1], pixels[1, 1, :3])


@pytest.mark.parametrize("lost", ["traversals", "codes", "errors", "originals"])
def test_a_figure_that_cannot_be_drawn_costs_a_warning_and_not_the_report(lost, tmp_path):
    run = make_run(tmp_path / "run")
    wrong = np.full(3, np.nan)
    FigureDataFile(run).write(dataclasses.replace(of_images(), **{lost: wrong}))
    with pytest.warns(LoraeWarning, match="figures: not drawn: "):
        page = Page(write_report([run]))
    assert "Latent spectrum" in page.text
    assert "Best reconstructed" in page.text or lost == "errors"


def test_damaged_arrays_cost_a_warning(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "figure_data.safetensors").write_bytes(b"damaged")
    with pytest.warns(LoraeWarning, match=r"figures: not drawn: .*figure_data\.safetensors: does not hold"):
        page = Page(write_report([run]))
    assert "Some figures are missing" in page.text
    assert "lorae evaluate" in page.text


TRUNCATED = {
    "from": "runs/a",
    "rank": 3,
    "latent_dim": 8,
    "standard_deviations": {},
    "dropped_variance": 0.0,
    "before": {"parameters": {}, "bytes": 1, "test_mse": None},
}
CHANGES: dict[str, dict[str, Any]] = {
    "images": {},
    "vectors": {"shape": (5,)},
    "array": {"settings": {"data": "array"}},
    "own file": {"settings": {"network": "/home/nets.py:make"}},
    "modules": {"settings": {"network": "modules"}},
    "truncated": {"truncated": TRUNCATED},
    "unfinished": {"finished": False},
}


@pytest.mark.parametrize("kind", CHANGES)
def test_the_next_commands_are_commands_of_the_run(kind, tmp_path):
    changes = dict(CHANGES[kind])
    truncated = changes.pop("truncated", None)
    run = make_run(tmp_path / "it's <i>", **changes)
    if truncated:
        config = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps(config | {"truncated": truncated}))
    if kind != "unfinished":
        measured = evaluation()
        measured["rank"]["matrix_ranks"] = {"1e-06": 40}
        (run / "evaluation.json").write_text(json.dumps(measured))
    steps = next_steps(load_all([run])[0])
    parser, commands = build_parser(), [step.command for step in steps]
    for command in commands:
        if command.startswith("lorae "):
            options = parser.parse_args(shlex.split(command)[1:])
            given = options.run if "run" in options else options.runs[0]
            assert given == str(run)
        else:
            assert repr(str(run)) in command
    names = [command.split()[1] for command in commands if command.startswith("lorae ")]
    expected = {
        "images": ["evaluate", "explore", "sample", "interpolate", "truncate", "export"],
        "vectors": ["evaluate", "explore", "sample", "truncate", "export"],
        "array": ["explore", "sample", "truncate", "export"],
        "own file": ["evaluate", "explore", "sample", "interpolate", "truncate", "export"],
        "modules": [],
        "truncated": ["evaluate", "explore", "sample", "interpolate", "export"],
        "unfinished": ["resume", "report"],
    }
    assert names == expected[kind]
    page = Page(write_report([run]))
    assert page.text.rindex("Next commands") > page.text.rindex("All settings")
    assert all(step.meaning in page.text for step in steps)
    assert all(section in page.text for section in SECTIONS.values())


def test_a_run_without_an_encoder_has_its_samples_alone(tmp_path):
    run = make_run(tmp_path / "gan", method="gan", reconstructed=False)
    (run / "evaluation.json").write_text("{}")
    path = run / "figures" / "samples-prior.png"
    plot_grid(noise(64, 1, 8, 8), path)
    write_figure_items(noise(64, 1, 8, 8), path)
    page = Page(write_report([run]))
    assert "Samples from the prior" in page.text
    assert "not finished" not in page.text
    assert "of 128 Not measured: the method has no encoder." in page.text
    assert "lorae sample" in page.text
    assert "lorae reconstruct" not in page.text
    assert sizes(page) == [(796, 796)]
