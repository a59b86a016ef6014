"""Training items of which batches are taken by rows: in memory, on a GPU, or read from a file a batch ahead."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorae.system.stored_items import Items, StoredItems, parts

# Share of a GPU's free memory that items from a file may take: the rest is for the network and its activations.
SHARE_OF_GPU = 0.5


class Batches:
    """Items of a training, on its device: `batches[rows]` is the batch of these rows, a tensor (n,).

    Items in a file are read as they are needed, unless a GPU has room for them. `expect` begins to read the next
    batch in a thread, while this one is learned.
    """

    def __init__(self, items: Items, device: torch.device) -> None:
        self.device = device
        self.stored = items if isinstance(items, StoredItems) else None
        if self.stored is not None and device.type == "cuda" and _fits(self.stored, device):
            self.tensor: Tensor | None = _loaded(self.stored, device)
            self.stored = None
        else:
            self.tensor = None if isinstance(items, StoredItems) else torch.from_numpy(items).to(device)
        self.count = len(items)
        self._waited = 0.0
        self._expected: tuple[NDArray[np.int64], Future[NDArray[np.generic]]] | None = None
        self._reader: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return self.count

    @property
    def index_device(self) -> torch.device:
        """Device of rows: that of the items, and the CPU for those in a file."""
        return self.device if self.stored is None else torch.device("cpu")

    @property
    def waited(self) -> float | None:
        """Seconds in which the training has waited for items of a file; None for items in memory."""
        return None if self.stored is None else self._waited

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        if self.stored is None:
            assert self.tensor is not None
            return self.tensor[rows]
        started = time.perf_counter()
        found = self.stored[rows] if isinstance(rows, slice) else self._read(self.stored, rows.numpy())
        batch = torch.from_numpy(found).to(self.device)
        self._waited += time.perf_counter() - started
        return batch

    def expect(self, rows: Tensor) -> None:
        """Begin to read the rows of a file that will be the next batch."""
        if self.stored is None or not len(rows):
            return
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, thread_name_prefix="lorae-items")
        expected = rows.numpy().copy()
        self._expected = expected, self._reader.submit(self.stored.__getitem__, expected)

    def close(self) -> None:
        """End the thread."""
        self._expected = None
        if self._reader is not None:
            self._reader.shutdown(wait=True, cancel_futures=True)
            self._reader = None

    def _read(self, stored: StoredItems, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        expected, self._expected = self._expected, None
        if expected is None:
            return stored[rows]
        known, future = expected
        found = future.result()
        return found if np.array_equal(known, rows) else stored[rows]


def _fits(items: StoredItems, device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return items.nbytes <= SHARE_OF_GPU * free


def _loaded(items: StoredItems, device: torch.device) -> Tensor:
    """Return items on a GPU, copied part by part."""
    first = torch.from_numpy(items[:1])
    tensor = torch.empty(items.shape, dtype=first.dtype, device=device)
    for rows in parts(items):
        tensor[rows] = torch.from_numpy(items[rows]).to(device)
    return tensor
