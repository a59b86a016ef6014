"""Small data, a private cache, and one trained run that many tests look at."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers of pytest-xdist would fight over the cores

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import lorae
from lorae import penalties
from lorae.cli import parser as cli
from lorae.training.trainer import Trainer


@pytest.fixture(autouse=True)
def _private_folders(tmp_path_factory, monkeypatch, request):
    """No test touches the user's cache, except those that ask for real data by the marker `slow`."""
    torch.set_num_threads(1)
    if "slow" not in request.keywords:
        monkeypatch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _private_penalties(monkeypatch):
    """What a test registers ends with it: an example of a docstring would be a row of the page of methods."""
    monkeypatch.setattr(penalties, "_added", dict(penalties._added))


def save_blank(figure, file, **options):
    """Write a white picture in the place of a figure."""
    if options.get("format") == "svg":
        file.write(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"></svg>')
    else:
        Image.new("1", figure.canvas.get_width_height(), 1).save(file, "png")


@pytest.fixture
def blank_figures(monkeypatch):
    """White figures, for files of tests that look at none: to draw them takes several times as long as to train."""
    drawn = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", save_blank)
    return drawn


@pytest.fixture(scope="session")
def images():
    """Grey squares of two sizes at random places: uint8 (96, 1, 16, 16)."""
    rng = np.random.default_rng(0)
    pictures = np.zeros((96, 1, 16, 16), np.uint8)
    for picture in pictures:
        x, y, side = rng.integers(0, 10), rng.integers(0, 10), rng.choice([3, 6])
        picture[0, y : y + side, x : x + side] = 255
    return pictures


@pytest.fixture(scope="session")
def vectors():
    """Points of a plane in six dimensions, with scales that differ and one constant column: float32 (120, 6)."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 6)) * [1, 10, 100, 1, 1, 1] + 5
    points[:, 5] = 7
    return points.astype(np.float32)


@pytest.fixture(scope="session")
def small():
    """Settings with which a run takes about a second."""
    return {"latent_dim": 8, "width": 0.125, "epochs": 2, "batch_size": 16, "quiet": True, "penalty": 1e-3}


def saved(items, tmp_path_factory, name):
    """Return the path of an .npy file of items in a folder of its own."""
    path = tmp_path_factory.mktemp("data") / f"{name}.npy"
    np.save(path, items)
    return path


@pytest.fixture(scope="session")
def image_file(images, tmp_path_factory):
    return saved(images, tmp_path_factory, "squares")


@pytest.fixture(scope="session")
def trained(image_file, small, tmp_path_factory):
    """A finished LoRAE run on the squares."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return lorae.train(str(image_file), out=folder / "squares", **small)


@pytest.fixture
def train_until(monkeypatch):
    """`train_until(step, data, ...)` trains as `lorae.train` does, and dies once so many steps have been taken."""

    def train_until(step, data, **options):
        take = Trainer._one_step

        def take_or_die(self):
            if self.step == step:
                raise InterruptedError
            take(self)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_one_step", take_or_die)
            with pytest.raises(InterruptedError):
                lorae.train(data, **options)

    return train_until


@pytest.fixture
def run_cli(capsys):
    """Run one command in this process; exit code, standard output, standard error."""

    def run(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
