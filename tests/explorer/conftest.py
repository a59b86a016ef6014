"""Runs of every kind that the explorer takes, trained once, and clients of them without a browser."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from starlette.testclient import TestClient
from torch import nn

import lorae
from lorae.explorer.app import make_app
from lorae.explorer.session import Session
from lorae.runs import Run
from tests.conftest import save_blank

FAST = {"epochs": 1, "batch_size": 16, "latent_dim": 4, "width": 0.125, "quiet": True}


def _pair(shape, latent_dim):
    size = int(np.prod(shape))
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, latent_dim))
    return encoder, nn.Sequential(nn.Linear(latent_dim, size), nn.Unflatten(1, shape))


def _train(kind, folder, images, vectors):
    out, labels = folder / kind, np.arange(len(images)) % 3
    if kind == "images":
        np.savez(folder / "squares.npz", images=images, labels=labels)
        return lorae.train(str(folder / "squares.npz"), out=out, method="lorae", penalty=1e-3, **FAST)
    if kind == "colors":
        pictures = np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16)).astype(np.uint8)
        np.save(folder / "colors.npy", pictures)
        return lorae.train(str(folder / "colors.npy"), out=out, method="vae", **FAST)
    if kind == "vectors":
        names = ",".join("abcdef")
        np.savetxt(folder / "table.csv", vectors, delimiter=",", header=names, comments="", fmt="%.9g")
        return lorae.train(str(folder / "table.csv"), out=out, method="lorae+", penalty=1e-3, **FAST)
    if kind == "signals":
        signals = np.random.default_rng(0).normal(size=(60, 2, 10)).astype(np.float32)
        np.save(folder / "signals.npy", signals)
        encoder, decoder = _pair((2, 10), 4)
        options = {name: value for name, value in FAST.items() if name != "width"}
        data = str(folder / "signals.npy")
        return lorae.train(data, encoder=encoder, decoder=decoder, kind="tensors", method="lorae", out=out, **options)
    if kind == "gone":  # an array in memory is gone as soon as another process explores the run
        return lorae.train(images, out=out, method="ae", **FAST)
    if kind == "generator":
        return lorae.train(str(folder / "squares.npz"), out=out, method="gan", **FAST)
    assert kind == "truncated"
    return lorae.truncate(folder / "images", 2, out)


KINDS = ("images", "colors", "vectors", "signals", "gone", "generator", "truncated")


@pytest.fixture(scope="session")
def explored(images, vectors, tmp_path_factory):
    """A folder with a run of each kind, and the data of most."""
    folder = tmp_path_factory.mktemp("explored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setattr(Figure, "savefig", save_blank)
        for kind in KINDS:
            _train(kind, folder, images, vectors)
    return folder


def opened(folder, kind):
    """The run of a kind, with its networks if they are the user's."""
    if kind != "signals":
        return Run(folder / kind)
    encoder, decoder = _pair((2, 10), 4)
    return Run(folder / kind, encoder=encoder, decoder=decoder)


@pytest.fixture(scope="session")
def sessions(explored, tmp_path_factory):
    """`sessions(kind)` is the session of a run, opened once and with everything in the background done."""
    known = {}

    def session(kind):
        if kind not in known:
            known[kind] = Session(opened(explored, kind))
            known[kind].background.wait(60)
        return known[kind]

    return session


@pytest.fixture(scope="session")
def clients(sessions):
    """`clients(kind)` asks the server of a run, without a network."""
    return lambda kind: TestClient(make_app(sessions(kind)), base_url="http://127.0.0.1:8450")
