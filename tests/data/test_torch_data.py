"""Datasets and DataLoaders of torch: the same items as their array, whatever order they are drawn in."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

import lorae
from lorae.data import torch_data
from lorae.data.torch_data import is_torch_data, read_torch_data
from lorae.errors import LoraeError

VECTORS = torch.from_numpy(np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32))
IMAGES = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (9, 3, 8, 8), dtype=np.uint8))
LABELS = torch.arange(23) % 4


class Entries(Dataset):
    """A map-style data set of given entries."""

    def __init__(self, *entries):
        self.entries = entries

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, index):
        entry = self.entries[index]
        if isinstance(entry, Exception):
            raise entry
        return entry


class Stream(IterableDataset):
    """An iterable data set of given entries."""

    def __init__(self, entries):
        self.entries = entries

    def __iter__(self):
        return iter(self.entries)


class Noisy(Dataset):
    """A data set with a random transform."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return VECTORS[index] + torch.randn(3)


class Endless(RandomSampler):
    def __iter__(self):
        return iter(int, 1)


ALL = BatchSampler(range(23), 4, False)
SAME: dict[str, Any] = {
    "tensors": TensorDataset(VECTORS),
    "map-style": Entries(*VECTORS),
    "NumPy items": Entries(*VECTORS.numpy()),
    "iterable": Stream(VECTORS),
    "subset": Subset(Entries(*VECTORS, *VECTORS), range(23)),
    "loader": DataLoader(TensorDataset(VECTORS), batch_size=4),
    "shuffled": DataLoader(TensorDataset(VECTORS), batch_size=4, shuffle=True),
    "shuffled, last batch dropped": DataLoader(Entries(*VECTORS), batch_size=4, shuffle=True, drop_last=True),
    "loader of an iterable": DataLoader(Stream(VECTORS), batch_size=4, drop_last=True),
    "own batches": DataLoader(Entries(*VECTORS), batch_sampler=ALL),
    "own stacking": DataLoader(Entries(*VECTORS), batch_size=5, shuffle=True, collate_fn=torch.stack),
}


@pytest.mark.parametrize("name", SAME)
def test_items_are_those_of_the_tensor_in_its_order(name):
    found = read_torch_data(SAME[name], "data")
    np.testing.assert_array_equal(found.inputs, VECTORS)
    assert found.labels is None


def test_workers_give_the_same_items_and_their_errors_in_one_line():
    loader = DataLoader(Entries(*VECTORS), batch_size=4, shuffle=True, num_workers=2)
    np.testing.assert_array_equal(read_torch_data(loader, "data").inputs, VECTORS)
    broken = DataLoader(Entries(*VECTORS, ValueError("broken")), batch_size=4, num_workers=1)
    with pytest.raises(LoraeError, match=r"cannot read item 23 of Entries \(ValueError: broken\)$"):
        read_torch_data(broken, "data")


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(VECTORS, LABELS),
        Entries(*zip(VECTORS, LABELS.tolist(), strict=True)),
        Stream(list(zip(VECTORS, LABELS, strict=True))),
        DataLoader(TensorDataset(VECTORS, LABELS[:, None]), batch_size=4, shuffle=True),
        DataLoader(Entries(*zip(VECTORS, LABELS, strict=True)), batch_size=4, shuffle=True),
    ],
    ids=["tensors", "map-style", "iterable", "loader of tensors", "loader"],
)
def test_labels_stay_with_their_items(data):
    found = read_torch_data(data, "data")
    np.testing.assert_array_equal(found.inputs, VECTORS)
    np.testing.assert_array_equal(found.labels, LABELS)
    loaded = lorae.load_data(data)
    place = int(np.flatnonzero((VECTORS.numpy() == loaded.train.inputs[5]).all(axis=1))[0])
    assert loaded.train.labels[5] == LABELS[place]


def test_a_sampler_chooses_the_items():
    loader = DataLoader(TensorDataset(VECTORS), batch_size=4, sampler=SubsetRandomSampler([9, 2, 17]))
    np.testing.assert_array_equal(read_torch_data(loader, "data").inputs, VECTORS[[2, 9, 17]])


def test_random_transforms_are_alike_each_time_and_draw_nothing_from_torch():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, again = (read_torch_data(data, "data").inputs for data in (Noisy(), DataLoader(Noisy(), shuffle=True)))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, VECTORS[:5])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (Entries(), "Entries holds no items"),
        (Stream(iter(())), "Stream holds no items.*at its end"),
        (Entries(VECTORS[0], VECTORS[1, :2]), r"item 1 of Entries: got shape \(2,\) .*expected \(3,\)"),
        (
            DataLoader(Entries(IMAGES[0], IMAGES[1, :, :4]), batch_size=2),
            r"item 1 of DataLoader: got shape \(3, 4, 8\)",
        ),
        (Entries(VECTORS[0], VECTORS[1].double()), "item 1 .*dtype float64, expected .*float32"),
        (Entries({"image": VECTORS[0], "id": 1}), "item 0 .*got a dict of the keys 'image', 'id', expected a tensor"),
        (Entries((VECTORS[0], 1, 2)), "got 3 values, expected a tensor or a pair"),
        (Entries((VECTORS[0], 0.5)), "got a label of shape .*leave such labels out"),
        (Entries((VECTORS[0], "cat")), "got a label of shape .* dtype <U3"),
        (Entries((VECTORS[0], 1), (VECTORS[1],)), "with and without labels"),
        (Entries(torch.tensor(1.0)), r"item 0 .*got shape \(\)"),
        (Entries("word"), "item 0 .*got a str"),
        (Entries(VECTORS[0].to_sparse()), "item 0 .*layout sparse_coo"),
        (Entries(VECTORS[0], ValueError("broken\nfile")), r"cannot read item 1 of Entries \(ValueError: broken file\)"),
        (DataLoader(Entries(*VECTORS), batch_size=None), "batch_size=None.*pass its dataset"),
        (DataLoader(Entries(*VECTORS), sampler=RandomSampler(VECTORS, num_samples=5)), "draws other items each time"),
        (Dataset(), "without a length"),
    ],
)
def test_what_is_refused_names_the_item(data, expected):
    with pytest.raises(LoraeError, match=f"^data: .*{expected}") as caught:
        read_torch_data(data, "data")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", [{"MOST_ITEMS": 100}, {"MOST_BYTES": 1000}])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_endless_iterable_is_refused(monkeypatch, limit, wrapped):
    for name, value in limit.items():
        monkeypatch.setattr(torch_data, name, value)
    data = Stream(itertools.repeat(VECTORS[0]))
    with pytest.raises(LoraeError, match=r"without an end, expected at most .*pass a finite part"):
        read_torch_data(DataLoader(data, batch_size=4) if wrapped else data, "data")


def test_an_endless_sampler_ends(monkeypatch):
    monkeypatch.setattr(torch_data, "MOST_ITEMS", 100)
    with pytest.raises(LoraeError, match="without an end"):
        read_torch_data(DataLoader(Entries(*VECTORS), sampler=Endless(VECTORS)), "data")


@pytest.mark.parametrize("value", [VECTORS, [1], None, "mnist"])
def test_other_values_are_no_data_of_torch(value):
    assert not is_torch_data(value)
