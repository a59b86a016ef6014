"""Processes that `torchrun` starts to train one run together: their ranks, and what they exchange.

Imported where a training begins; torch's distributed package is loaded only if several processes were started.
"""

import contextlib
import datetime
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lorae.errors import LoraeError, LoraeWarning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Value = TypeVar("Value")

# The others wait this long for what the first process does alone: downloads, reading of data, evaluation. A process
# that ends is noticed at once; the limit is only for one that hangs.
LONGEST_WAIT = datetime.timedelta(days=1)

# Seconds to wait for the message of the first process before another one reports the same error.
REPORTED_WITHIN = 2.0


class PeerLostError(LoraeError):
    """Another process of a training that has failed, or that was killed."""


def world_size() -> int:
    """Return the number of processes that were started together, 1 without `torchrun`."""
    started = "RANK" in os.environ and "MASTER_ADDR" in os.environ
    return int(os.environ.get("WORLD_SIZE", "1")) if started else 1


def is_first() -> bool:
    """Return whether this is the process that writes: the only one, or the one of rank 0."""
    return world_size() == 1 or int(os.environ["RANK"]) == 0


def restarted() -> bool:
    """Return whether `torchrun` has started the processes again, after one of them had failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


class Processes:
    """The processes of one training; every method but the plain attributes is called by all of them alike.

    Attributes
    ----------
    rank, count : int
        The number of this process, from 0, and of all.
    """

    def __init__(self, rank: int = 0, count: int = 1, control: Any = None) -> None:
        self.rank = rank
        self.count = count
        # Exchanges of the first process with the others, on CPUs, beside those of gradients.
        self._control = control
        self._request: tuple[Any, Tensor] | None = None

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.count == 1

    @property
    def first(self) -> bool:
        """Whether this process reads and writes the run."""
        return self.rank == 0

    def share(self, n: int, rank: int | None = None) -> slice:
        """Return the rows of this process, or of another one, among n, in parts whose sizes differ by one at most."""
        rank = self.rank if rank is None else rank
        return slice(n * rank // self.count, n * (rank + 1) // self.count)

    def from_first(self, function: Callable[[], Value]) -> Value:
        """Return what a function returns in the first process, which alone calls it; an error is raised in all."""
        if self.alone:
            return function()
        import torch.distributed as dist

        answer: list[Any] = [None]
        failure: BaseException | None = None
        if self.first:
            try:
                answer = [(True, function())]
            except LoraeError as error:
                failure, answer = error, [(False, error)]
        with lost_peers():
            dist.broadcast_object_list(answer, src=0, group=self._control)
        succeeded, value = answer[0]
        if not succeeded:
            raise failure or value
        return cast("Value", value)

    def refuse_differences(self, name: str, value: object) -> None:
        """Raise LoraeError in all processes if one has another value than the first, which has to be the same."""
        values = self.collected(value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise LoraeError(
                    f"{name}: process {rank} got {str(other)[:200]}, expected {str(values[0])[:200]} as process 0: "
                    "torchrun starts several processes for one training; unset WORLD_SIZE to train in each of them"
                )

    def gathered(self, rows: "NDArray[Any]") -> "NDArray[Any]":
        """Return the rows of all processes in the order of their ranks."""
        if self.alone:
            return rows
        import numpy as np

        return np.concatenate(self.collected(rows))

    def collected(self, value: Value) -> list[Value]:
        """Return the values of all processes in the order of their ranks."""
        if self.alone:
            return [value]
        import torch.distributed as dist

        values: list[Any] = [None] * self.count
        with lost_peers():
            dist.all_gather_object(values, value, group=self._control)
        return values

    def of_rows(
        self, function: "Callable[..., NDArray[np.float64]]", *arrays: "NDArray[Any] | None"
    ) -> "NDArray[np.float64]":
        """Return a function's results on the rows of arrays, each process computing its share; None stays None."""
        if self.alone:
            return function(*arrays)
        first = next(array for array in arrays if array is not None)
        rows = self.share(len(first))
        return self.gathered(function(*(None if array is None else array[rows] for array in arrays)))

    def summed(self, values: "Tensor") -> "Tensor":
        """Return the sum of a tensor over the processes, on the CPU and without a gradient."""
        if self.alone:
            return values
        import torch.distributed as dist

        total = values.detach().cpu().clone()
        with lost_peers():
            dist.all_reduce(total, group=self._control)
        return total

    def broadcast(self, tensors: "list[Tensor]") -> None:
        """Replace tensors by those of the first process."""
        if self.alone:
            return
        import torch
        import torch.distributed as dist

        with lost_peers(), torch.no_grad():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def requested(self, number: int) -> int:
        """Return the largest number that a process gave in the call before; 0 at first.

        One call late, so that no process waits for the others.
        """
        if self.alone:
            return number
        import torch
        import torch.distributed as dist

        before = self._request
        largest = torch.tensor(number, dtype=torch.int64)
        with lost_peers():
            self._request = (
                dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._control, async_op=True),
                largest,
            )
            if before is None:
                return 0
            before[0].wait()
            if int(before[1]):  # the last one of a training
                self._request[0].wait()
                self._request = None
            return int(before[1])

    def last_request(self, number: int) -> int:
        """Return the largest number that a process gave in the last call of `requested`, or gives now."""
        if self.alone:
            return number
        found = self.requested(number) or self.requested(0)
        self._request = None
        return found

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.collected(None)


ALONE = Processes()

_current: Processes | None = None
_store: Any = None
_sessions = 0


@contextlib.contextmanager
def lost_peers() -> Iterator[None]:
    """Raise PeerLostError inside the block for a connection that another process has closed."""
    try:
        yield
    except RuntimeError as error:
        if not is_lost_connection(error):
            raise
        raise PeerLostError(
            "torchrun: another process has failed or was killed; the training goes on from its last checkpoint when "
            "`lorae resume` is started, or by itself with torchrun --max-restarts"
        ) from error


def is_lost_connection(error: BaseException) -> bool:
    """Return whether an error is that of an exchange with a process that has ended."""
    import torch.distributed as dist

    words = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Socket closed", "gloo", "NCCL")
    return isinstance(error, dist.DistBackendError) or any(word in str(error) for word in words)


@contextlib.contextmanager
def session(device: str = "auto") -> Iterator[Processes]:
    """Join the processes that `torchrun` has started; `ALONE` without several.

    device: `cpu`, `cuda` or `auto`. On GPUs each process takes that of its LOCAL_RANK. A group that the program has
    made before is used and left. Errors are left with the others, which then end; LoraeWarnings come from the first.
    """
    global _current
    if world_size() == 1 or _current is not None:
        yield _current or ALONE
        return
    import torch.distributed as dist

    on_gpu = _take_gpu(device)
    own = not dist.is_initialized()
    if own:
        _start(on_gpu)
    _current = Processes(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo", timeout=LONGEST_WAIT))
    try:
        with warnings.catch_warnings():
            # Of kernels of one pixel, whose layout has no meaning: nothing is lost by the copy that it warns of.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            if not _current.first:
                warnings.simplefilter("ignore", LoraeWarning)
            yield _current
        _current.wait()  # a process that leaves while others still exchange breaks their connections
    except BaseException as error:
        _leave_word(_current.rank, error)
        raise
    finally:
        _current = None
        if own:
            dist.destroy_process_group()


def _take_gpu(device: str) -> bool:
    """Return whether the processes compute on GPUs; this one then takes its own."""
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return False
    place, available = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if place >= available:
        raise LoraeError(
            f"device: process {place} of this machine finds {available} GPUs, expected one for each process; start "
            f"torchrun with --nproc-per-node {available}, or pass device='cpu'",
            settings={"device": "cpu"},
        )
    torch.cuda.set_device(place)
    return True


def _start(on_gpu: bool) -> None:
    """Start the process group; each session of a process has its own names in the store that they share."""
    global _store, _sessions
    import torch.distributed as dist
    from torch.distributed import distributed_c10d as torch_store

    rank, count = int(os.environ["RANK"]), world_size()
    if _store is None:
        from torch.distributed.rendezvous import rendezvous

        _store, _, _ = next(rendezvous("env://"))
    _sessions += 1
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = torch_store.PrefixStore(f"lorae-{restarts}-{_sessions}", _store)
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)


def _leave_word(rank: int, error: BaseException) -> None:
    """Tell the other processes why this one ends."""
    if _store is not None and not isinstance(error, PeerLostError):
        with contextlib.suppress(Exception):  # the store may have gone with the process that holds it
            _store.set(_error_key(rank), str(error).encode())


def _error_key(rank: int) -> str:
    return f"lorae-error-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}-{rank}"


def is_reported(error: BaseException) -> bool:
    """Return whether the first process reports an error of this one, or has ended with the one that has caused it."""
    if is_first() or _store is None:
        return not is_first()
    ending = time.monotonic() + REPORTED_WITHIN
    while time.monotonic() < ending:
        with contextlib.suppress(Exception):
            if _store.check([_error_key(0)]):
                return isinstance(error, PeerLostError) or str(error).encode() == _store.get(_error_key(0))
        time.sleep(0.05)
    return False
