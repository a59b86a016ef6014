"""Items of a torch `Dataset` or `DataLoader`, in the order of the data set."""

import sys
from collections.abc import Iterator
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError
from lorae.plain_arrays import plain_array
from lorae.system.files import temporary_folder
from lorae.system.stored_items import Collected, Items

if TYPE_CHECKING:
    from torch.utils.data import DataLoader, Dataset

# An iterable that has not ended after this many items or bytes is taken for an endless one.
MOST_ITEMS = 5_000_000
MOST_BYTES = 2**34
# Items in a batch of a DataLoader whose batches are drawn by a sampler of the user's.
BATCH = 64
ADVICE = "expected a tensor or a pair (tensor, label) with a whole number as label"


class TorchItems(NamedTuple):
    """Items (n, ...), many of them in a temporary file, and labels, int64 (n,), if there are any."""

    inputs: Items
    labels: NDArray[np.int64] | None


def is_torch_data(value: Any) -> bool:
    """Return whether a value is a Dataset or a DataLoader, without importing torch."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and isinstance(value, (data.Dataset, data.DataLoader))


def read_torch_data(data: "Dataset[Any] | DataLoader[Any]", title: str) -> TorchItems:
    """Return all items of a Dataset or a DataLoader.

    A DataLoader gives the items that its sampler draws, in the order of its Dataset, so that shuffling changes
    nothing. Random transforms draw from torch seeded with 0, and torch's global generator stays as it is.
    Raises LoraeError for entries that are no tensors or pairs, items of several shapes or types, an iterable without an
    end, a sampler that draws other items each time, and for errors of the data set, with the number of the item.
    """
    import torch

    from lorae.randomness import drawing_from

    name = type(data).__name__
    source: Any = getattr(data, "dataset", data)
    known_length = hasattr(source, "__len__")
    most = max(MOST_ITEMS, len(source)) if known_length else MOST_ITEMS
    first: NDArray[Any] | None = None
    collected = Collected(temporary_folder)
    labels: list[NDArray[np.int64] | None] = []
    number, size = 0, 0
    with drawing_from(torch.Generator().manual_seed(0), everything=True):
        for place, entry, batched in _entries(data, title):
            items, label = _divided(entry, batched, f"{title}: {place} of {name}")
            first = items if first is None else first
            if (items.shape[1:], items.dtype) != (first.shape[1:], first.dtype):
                raise LoraeError(
                    f"{title}: {place} of {name}: got shape {items.shape[1:]} and dtype {items.dtype}, expected "
                    f"{first.shape[1:]} and {first.dtype} as before; give all items one shape and type in its transform"
                )
            collected.add(items)
            labels.append(label)
            number, size = number + len(items), size + items.nbytes
            if number > most or (not known_length and size > MOST_BYTES):
                raise LoraeError(
                    f"{title}: got {number:,} items ({size / 2**20:,.0f} MiB) from {name} without an end, expected at "
                    f"most {most:,} ({MOST_BYTES / 2**20:,.0f} MiB), which are kept; pass a finite part, or a "
                    "Dataset with __len__"
                )
    if number == 0:
        raise LoraeError(
            f"{title}: {name} holds no items, expected at least 1; an iterator that was read before is at its end"
        )
    if len({label is None for label in labels}) > 1:
        raise LoraeError(
            f"{title}: {name} gives items with and without labels, expected one kind; leave the labels out"
        )
    known = [label for label in labels if label is not None]
    return TorchItems(collected.items(), np.concatenate(known) if known else None)


def _entries(data: "Dataset[Any] | DataLoader[Any]", title: str) -> Iterator[tuple[str, Any, bool]]:
    """Yield the entries of a data set, with their places in words, and whether they are batches."""
    import torch
    from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

    loader = data if isinstance(data, DataLoader) else None
    dataset: Any = data if loader is None else loader.dataset
    if loader is not None and loader.batch_sampler is None:
        raise LoraeError(
            f"{title}: got a {type(data).__name__} with batch_size=None, whose entries may be items or batches, "
            "expected a batch size; pass its dataset if the entries are items"
        )
    # Entries are read one by one where batches would only stack them, so that a message names the item.
    alone = loader is None or loader.collate_fn is default_collate
    indices = None if isinstance(dataset, IterableDataset) else _indices(dataset, loader, title)
    if alone and type(dataset) is TensorDataset:
        yield "the tensors", dataset[indices], True
        return
    reader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=None if alone or loader is None else loader.batch_size or BATCH,
        sampler=indices,
        collate_fn=None if alone or loader is None else loader.collate_fn,
        num_workers=0 if loader is None else loader.num_workers,
        worker_init_fn=None if loader is None else loader.worker_init_fn,
        multiprocessing_context=None if loader is None else loader.multiprocessing_context,
        generator=torch.Generator().manual_seed(0),
    )
    entries = iter(reader)
    for number in count():
        place = (
            f"item {number if indices is None or number >= len(indices) else indices[number]}"
            if alone
            else f"batch {number}"
        )
        try:
            entry = next(entries)
        except StopIteration:
            return
        except LoraeError:
            raise
        except Exception as error:  # code of users raises anything; that of a worker ends with the error it had
            lines = str(error).strip().splitlines()
            text = lines[-1] if "Traceback" in str(error) else f"{type(error).__name__}: {' '.join(lines)}"
            raise LoraeError(f"{title}: cannot read {place} of {type(dataset).__name__} ({text[:200]})") from error
        yield place, entry, not alone


def _indices(dataset: Any, loader: "DataLoader[Any] | None", title: str) -> list[int]:
    """Return the ascending indices of the items that a sampler draws; without a loader, of all."""
    from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

    if not hasattr(dataset, "__len__"):
        raise LoraeError(
            f"{title}: got a {type(dataset).__name__} without a length, expected __len__, or an IterableDataset"
        )
    if loader is None:
        return list(range(len(dataset)))
    drawn: Any = loader.sampler
    if type(loader.batch_sampler) is not BatchSampler:
        drawn = loader.batch_sampler
    elif type(drawn) is SequentialSampler or (
        type(drawn) is RandomSampler and not drawn.replacement and drawn.num_samples == len(dataset)
    ):
        return list(range(len(dataset)))

    def draw() -> list[int]:
        found = drawn if drawn is loader.sampler else chain.from_iterable(drawn)
        return sorted(islice(found, max(MOST_ITEMS, len(dataset)) + 1))

    indices = draw()
    if indices != draw():
        raise LoraeError(
            f"{title}: got a {type(drawn).__name__} that draws other items each time, expected the same items; pass a "
            "DataLoader with shuffle=True, or a Subset"
        )
    return indices


def _divided(entry: Any, batched: bool, place: str) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Return the items (n, ...) and the labels (n,) of an entry, which is one item unless `batched`."""
    import torch

    parts = entry if isinstance(entry, (tuple, list)) else (entry,)
    if not 1 <= len(parts) <= 2:
        raise LoraeError(f"{place}: got {len(parts)} values, {ADVICE}")
    if not isinstance(parts[0], (torch.Tensor, np.ndarray)):
        kind = type(parts[0]).__name__
        kind = f"{kind} of the keys {', '.join(map(repr, parts[0]))}" if isinstance(parts[0], dict) else kind
        cure = "torchvision.transforms.PILToTensor() as its transform" if "Image" in kind else "those alone"
        raise LoraeError(f"{place}: got {kind}, {ADVICE}; give {cure}")
    items = plain_array(parts[0], place)
    items = items if batched else items[None]
    if items.ndim < 2:
        raise LoraeError(f"{place}: got shape {items.shape if batched else items.shape[1:]}, expected items of values")
    if len(parts) == 1:
        return items, None
    label = plain_array(parts[1], place) if isinstance(parts[1], torch.Tensor) else np.asarray(parts[1])
    if label.dtype.kind not in "bui" or label.size != len(items):
        raise LoraeError(
            f"{place}: got a label of shape {label.shape} and dtype {label.dtype}, {ADVICE}; leave such labels out"
        )
    return items, label.reshape(-1).astype(np.int64)
