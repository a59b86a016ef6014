"""Trainings on items that stay in a file: the same weights as in memory, a batch read ahead, and a resume at once."""

import time

import numpy as np
import pytest
import torch

import lorae
from lorae.data import pieces
from lorae.errors import LoraeError
from lorae.system import stored_items
from lorae.system.stored_items import StoredItems, opened
from lorae.training.batches import Batches

pytestmark = pytest.mark.usefixtures("blank_figures")

CPU = torch.device("cpu")


@pytest.fixture
def from_files(monkeypatch, tmp_path):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LORAE_IN_MEMORY", "0")
    monkeypatch.setattr(stored_items, "SETTLED", 0)


def weights(run):
    return run.load_model().state_dict()


@pytest.mark.parametrize("settings", [{"network": "mnist"}, {"method": "lorae+", "rank": 3}])
def test_images_in_a_file_give_the_same_weights(image_file, small, tmp_path, monkeypatch, settings):
    options = {key: value for key, value in (small | settings).items() if key != "penalty" or "rank" not in settings}
    runs = []
    for memory in ("512", "0"):
        monkeypatch.setenv("LORAE_IN_MEMORY", memory)
        monkeypatch.setenv("LORAE_CACHE", str(tmp_path / f"cache-{memory}"))
        runs.append(lorae.train(image_file, out=tmp_path / memory, **options))
    first, second = runs
    assert [("data_wait" in line) for line in first.stats("step")] == [False] * len(list(first.stats("step")))
    assert all(0 <= line["data_wait"] <= 1 for line in second.stats("step"))
    for name, value in weights(first).items():
        assert torch.equal(value, weights(second)[name]), name
    assert first.summary()["test_mse"] == second.summary()["test_mse"]
    assert first.config["data"] == second.config["data"]


def test_vectors_in_a_file_give_the_same_model_up_to_rounding(vectors, small, tmp_path, monkeypatch):
    np.save(tmp_path / "vectors.npy", vectors)
    runs = []
    for memory in ("512", "0"):
        monkeypatch.setenv("LORAE_IN_MEMORY", memory)
        monkeypatch.setenv("LORAE_CACHE", str(tmp_path / f"cache-{memory}"))
        options = {"latent_dim": 2, "epochs": 3, "quiet": True, "penalty": 1e-3}
        runs.append(lorae.train(tmp_path / "vectors.npy", out=tmp_path / memory, **options))
    first, second = (run.load_model() for run in runs)
    np.testing.assert_allclose(second.encode(vectors), first.encode(vectors), atol=1e-4)
    np.testing.assert_allclose(second.scaling.scale.numpy(), first.scaling.scale.numpy(), rtol=1e-12)


def test_a_resume_reads_the_items_that_were_left_and_no_others(
    image_file, small, tmp_path, monkeypatch, train_until, from_files
):
    options = small | {"network": "mnist", "epochs": 2, "checkpoint_every": 2}
    whole = lorae.train(image_file, out=tmp_path / "whole", **options)
    train_until(3, image_file, out=tmp_path / "cut", **options)
    batches, digests = [], []
    read, digest = Batches._read, pieces._digest
    monkeypatch.setattr(Batches, "_read", lambda self, *of: batches.append(len(of[1])) or read(self, *of))
    monkeypatch.setattr(pieces, "_digest", lambda *of: digests.append(of) or digest(*of))
    resumed = lorae.resume(tmp_path / "cut", quiet=True)
    items = resumed.config["data"]["splits"]["train"]
    assert sum(batches) == 2 * items - 2 * options["batch_size"]  # from the checkpoint after step 2 on
    assert digests == []  # the file is known by its size and time of change
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_measures_and_codes_of_items_in_files(trained, image_file, images, monkeypatch, tmp_path):
    only = ["reconstruction", "rank", "explained", "dimension"]
    expected, codes = lorae.evaluate(trained, only=only, quiet=True), lorae.encode(trained, image_file)
    for memory in ("0",):
        monkeypatch.setenv("LORAE_IN_MEMORY", memory)
        found = lorae.evaluate(trained, only=only, quiet=True)
        assert found["reconstruction"] == expected["reconstruction"]
        assert found["rank"]["rank"] == expected["rank"]["rank"]
        np.testing.assert_allclose(found["rank"]["eigenvalues"], expected["rank"]["eigenvalues"], rtol=1e-6, atol=1e-12)
        assert found["explained"] == expected["explained"]
        out = tmp_path / "codes.npy"
        np.testing.assert_array_equal(lorae.encode(trained, image_file, out=out), codes)
        np.testing.assert_array_equal(np.load(out), codes)
        np.save(tmp_path / "floats.npy", images / 255)
        np.testing.assert_array_equal(lorae.encode(trained, tmp_path / "floats.npy"), codes)
        np.save(tmp_path / "last.npy", np.moveaxis(np.repeat(images, 3, axis=1), 1, 3))
        np.testing.assert_allclose(lorae.encode(trained, tmp_path / "last.npy"), codes, atol=1e-5)
    model = lorae.load(trained)
    np.testing.assert_array_equal(model.encode(lorae.load_data(image_file).test.inputs)[:2].shape, (2, 8))


def test_values_out_of_range_are_refused_in_a_file_too(trained, images, monkeypatch, tmp_path):
    monkeypatch.setenv("LORAE_IN_MEMORY", "0")
    bad = images / 255
    bad[50, 0, 3, 4] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(LoraeError, match=r"items: got nan at index \(50, 0, 3, 4\)"):
        lorae.encode(trained, tmp_path / "bad.npy")


@pytest.fixture
def stored(tmp_path):
    values = np.arange(400, dtype=np.float32).reshape(100, 4)
    (tmp_path / "values").write_bytes(values.tobytes())
    return values, opened(tmp_path / "values", values.shape, values.dtype, 0)


@pytest.mark.parametrize("part", [slice(None), slice(3, 9), slice(None, None, -2)])
def test_batches_that_were_expected_are_those_that_are_read(stored, part):
    values, items = stored
    batches = Batches(items, CPU)
    for seed in range(5):
        rows = torch.randperm(100, generator=torch.Generator().manual_seed(seed))[:16]
        batches.expect(rows)
        wanted = torch.from_numpy(rows.numpy()[part].copy())  # several processes take parts of a batch
        assert batches[wanted].numpy().tolist() == values[wanted.numpy()].tolist()
    assert batches[rows].numpy().tolist() == values[rows.numpy()].tolist()  # without being expected
    batches.expect(rows)
    other = torch.tensor([99, 0])
    assert batches[other].numpy().tolist() == values[[99, 0]].tolist()
    batches.close()


def test_an_expected_batch_is_read_while_another_is_learned(stored, monkeypatch):
    _, items = stored
    read = StoredItems.__getitem__

    def slow(self, rows):
        time.sleep(0.2)
        return read(self, rows)

    monkeypatch.setattr(StoredItems, "__getitem__", slow)
    batches, rows = Batches(items, CPU), torch.arange(8)
    assert batches[rows].shape == (8, 4)
    waited = batches.waited
    assert waited >= 0.2
    batches.expect(rows)
    time.sleep(0.3)  # a step
    assert batches[rows].shape == (8, 4)
    assert batches.waited - waited < 0.15
    batches.close()


def test_an_error_of_the_thread_is_raised_where_the_batch_is_taken(stored):
    _, items = stored
    batches = Batches(items, CPU)
    batches.expect(torch.tensor([1000]))
    with pytest.raises(IndexError):
        batches[torch.tensor([1000])]
    batches.close()


def test_items_in_memory_do_not_wait():
    batches = Batches(np.zeros((10, 3), np.float32), CPU)
    batches.expect(torch.arange(3))
    assert batches[torch.arange(3)].shape == (3, 3)
    assert batches.waited is None
    batches.close()
