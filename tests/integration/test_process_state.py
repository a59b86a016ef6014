"""Trainings, models and measures depend on their settings and seeds, on nothing of the process, and change nothing."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

import lorae
from lorae import penalties
from lorae.config.methods import METHODS
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.evaluation.measures import MEASURES
from lorae.runs.store import InMemoryRun
from lorae.training.trainer import Trainer
from tests.process_states import STATES, observed

SMALL = {"data": "array", "precision": "float32", "device": "cpu", "width": 0.1, "latent_dim": 8, "epochs": 2}
SEARCHES: dict[str, dict] = {
    "rank": {"method": "lorae+", "rank": 3, "network": "residual", "normalize": "coordinates", "noise": 0.1},
    "auto": {"method": "lorae+", "rank": "auto", "epochs": 12},
    "path": {"method": "lorae+", "penalty_path": "1e-3:1e-1:3", "epochs": 4},
    "penalties": {
        "penalties": {"decoder_gradient": 1e-3, "mmd": 1.0, "contractive": 1e-3, "draws": 1e-3},
        "penalty_every": 3,
    },
    "orthogonal": {"matrix_init": "orthogonal"},
}
CASES = {name: {"method": name} for name in METHODS} | SEARCHES


@pytest.fixture(scope="module", autouse=True)
def _penalty_of_a_program():
    """A penalty of code that knows nothing of `lorae.randomness`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(penalties, "_added", {})
        penalties.register_penalty("draws", _draws, "this test")
        yield


def _draws(context):
    """Noisy latents."""
    return (context.latents + torch.randn_like(context.latents) + torch.randn(1)).square().mean()


@pytest.fixture(scope="module")
def small_images():
    return np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), np.uint8)


@pytest.fixture(scope="module")
def small_vectors():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(80, 4)) @ rng.normal(size=(4, 12))).astype(np.float32)


def digest(*arrays):
    content = hashlib.sha256()
    for array in map(np.asarray, arrays):
        content.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return content.hexdigest()


def weights(model):
    return digest(*(value for _, value in sorted(model.state_dict().items())))


def trained_weights(name, images, vectors):
    """Train in memory; return the digests of weights and of losses."""
    data = vectors if name in SEARCHES else images
    settings = Settings.from_values(SMALL | {"batch_size": 16, "seed": 3} | CASES[name], str)
    dataset = lorae.load_data(data)
    run = InMemoryRun(resolve(settings, dataset.kind, dataset.shape), 1)
    model = Trainer(run, dataset, quiet=True).fit()
    timed = {"images_per_second", "seconds"}
    records = [{key: value for key, value in record.items() if key not in timed} for record in run.records]
    return weights(model), json.dumps(records)


def estimated(vectors):
    model = lorae.LoRAE(rank=3, epochs=3, random_state=0).fit(vectors)
    codes = model.transform(vectors)
    return digest(codes, model.inverse_transform(codes), model.sample(5, random_state=1))


def in_threads(*functions):
    """Call functions at once; return their results."""
    ready, results = threading.Barrier(len(functions)), [None] * len(functions)

    def call(index):
        torch.set_num_threads(1)
        ready.wait(30)
        results[index] = functions[index]()

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def drawing():
    """Draw from the global generators of torch and NumPy all the time."""
    done = threading.Event()

    def draw():
        while not done.wait(0.0002):
            torch.rand(3)
            np.random.rand(3)  # noqa: NPY002

    thread = threading.Thread(target=draw)
    thread.start()
    yield
    done.set()
    thread.join()


@pytest.mark.parametrize("name", CASES)
def test_two_trainings_at_once_are_those_of_each_alone(name, small_images, small_vectors, drawing):
    def train():
        return trained_weights(name, small_images, small_vectors)

    alone = train()
    assert in_threads(train, train) == [alone, alone]


def test_two_estimators_at_once_are_those_of_each_alone(small_vectors, drawing):
    alone = estimated(small_vectors)
    assert in_threads(*[lambda: estimated(small_vectors)] * 2) == [alone, alone]


@contextlib.contextmanager
def unusual(*names):
    """Enter states of the process, and check that they are as before at the end."""
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(STATES[name]())
        before = observed()
        yield
        assert observed() == before


@pytest.mark.parametrize("name", CASES)
def test_no_state_of_the_process_changes_a_training_or_is_changed(name, small_images, small_vectors):
    expected = trained_weights(name, small_images, small_vectors)
    with unusual(*STATES):
        assert trained_weights(name, small_images, small_vectors) == expected


@pytest.mark.parametrize("state", STATES)
def test_no_single_state_changes_a_training_or_is_changed(state, small_images, small_vectors):
    with unusual(state):
        found = trained_weights("penalties", small_images, small_vectors)
    assert found == trained_weights("penalties", small_images, small_vectors)


def test_no_state_of_the_process_changes_an_estimator_or_is_changed(small_vectors):
    expected = estimated(small_vectors)
    with unusual(*STATES):
        assert estimated(small_vectors) == expected


@pytest.fixture
def labeled(tmp_path):
    """Images of two kinds, and their labels, in a file."""
    labels = np.arange(200) % 2
    pictures = np.random.default_rng(1).integers(0, 256, (200, 1, 8, 8), np.uint8)
    pictures[labels == 1, :, :4] //= 4
    np.savez(tmp_path / "labeled.npz", images=pictures, labels=labels)
    return tmp_path / "labeled.npz"


def measured(path, folder):
    """Train, load, encode, take every measure and sample; return a digest of each."""
    settings = {name: value for name, value in SMALL.items() if name != "data"}
    run = lorae.train(path, out=folder, quiet=True, method="lorae", **settings)
    model, items = lorae.load(run), np.load(path)["images"]
    codes = model.encode(items)
    few = {"n": 60, "draws": 1, "labels": "10", "seeds": 1, "max_steps": 10, "bootstrap": 5}
    results = lorae.evaluate(run, only=MEASURES, features="raw", quiet=True, **few)
    return {
        "load": weights(model),
        "encode": digest(codes, model.decode(codes), model.reconstruct(items), model.truncate(items, 3).encode(items)),
        "evaluate": json.dumps(results, sort_keys=True, default=str),
        "sample": digest(lorae.sample(run, 6, seed=1)),
    }


@pytest.mark.filterwarnings("ignore:frechet distance")
def test_no_state_of_the_process_changes_a_run_or_its_measures_or_is_changed(labeled, tmp_path):
    expected = measured(labeled, tmp_path / "expected")
    with unusual(*STATES):
        assert measured(labeled, tmp_path / "found") == expected


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_a_training_that_is_broken_off_leaves_everything_as_it_was(fault, small_images, monkeypatch):
    take = Trainer._one_step

    def broken(self):
        take(self)
        if self.step == 2:
            raise fault

    monkeypatch.setattr(Trainer, "_one_step", broken)
    with torch.no_grad(), np.errstate(all="raise"):
        before = observed()
        with pytest.raises(fault):
            trained_weights("vae", small_images, None)
        assert observed() == before


@pytest.mark.parametrize("seed", ["0", "1"])
def test_no_order_of_sets_and_no_locale_changes_a_training(seed, small_vectors, tmp_path):
    script = (
        "import sys, numpy as np, lorae, torch\n"
        "torch.set_num_threads(1)\n"
        "model = lorae.LoRAE(rank=3, epochs=2, random_state=0).fit(np.load(sys.argv[1]))\n"
        "print(model.transform(np.load(sys.argv[1])).tobytes().hex())"
    )
    np.save(tmp_path / "vectors.npy", small_vectors)
    codes = lorae.LoRAE(rank=3, epochs=2, random_state=0).fit(small_vectors).transform(small_vectors)
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "vectors.npy")],
        env=os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": "C" if seed == "0" else "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    assert found.stdout.strip() == codes.tobytes().hex()
