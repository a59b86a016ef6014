"""Models at once on one GPU: threads with streams of their own in one process, against processes."""

import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.records import Records
from benchmarks.gpu.speed import PENALTY, build_trainer, our_loop, random_items, wait
from lorae.training.trainer import Trainer

# Name of the record on which it depends whether models are trained at once.
TOGETHER = "weights of two at once against each alone"


def captured_loop(*, smoke: bool) -> Any:
    """A captured step of LoRAE on digits at batch 32, warm."""
    step = our_loop("mnist", 32, "float32", method="lorae", penalty=PENALTY, width=0.125 if smoke else 1.0)
    for index in range(6):
        step(index)
    wait()
    return step


def rate_of(steps: list[Any], seconds: float) -> float:
    """Steps a second of all loops together, each in a thread with a stream of its own."""
    counts = [0] * len(steps)
    until = time.perf_counter() + seconds

    def go_on(index: int) -> None:
        stream = torch.cuda.Stream() if torch.cuda.is_available() else None
        with torch.cuda.stream(stream):
            while time.perf_counter() < until:
                for _ in range(20):
                    steps[index](counts[index])
                    counts[index] += 1
                if stream is not None:
                    stream.synchronize()

    threads = [threading.Thread(target=go_on, args=(index,)) for index in range(len(steps))]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def at_once(records: Records, *, smoke: bool) -> None:
    """Steps a second by the number of models, and whether they learn the same as each alone."""
    records.measure(TOGETHER, partial(weights_at_once, smoke=smoke))
    steps: list[Any] = []
    seconds = 0.2 if smoke else 2.0
    for count in (1, 2) if smoke else (1, 2, 4, 8, 16):

        def take(count: int = count) -> dict[str, Any]:
            while len(steps) < count:
                steps.append(captured_loop(smoke=smoke))
            return {"models": count, "steps_per_second": rate_of(steps[:count], seconds)}

        records.measure(f"{count} in threads", take)
    steps.clear()
    for count in (1,) if smoke else (2, 4):
        records.measure(f"{count} in processes", partial(processes, count, seconds, smoke=smoke))


def processes(count: int, seconds: float, *, smoke: bool) -> dict[str, Any]:
    """The same with a process for each model; all of them begin at one time."""
    start = time.time() + (1 if smoke else 25)
    command = [sys.executable, "-m", "benchmarks.gpu", "--one-process", str(start), "--seconds", str(seconds)]
    command += ["--smoke"] if smoke else []
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    rates = [float(process.communicate(timeout=90)[0].splitlines()[-1]) for process in started]
    return {"models": count, "steps_per_second": sum(rates), "each": rates}


def one_process(start: float, seconds: float, *, smoke: bool) -> None:
    """What such a process does: print its steps a second."""
    step = captured_loop(smoke=smoke)
    late = time.time() > start
    time.sleep(max(0.0, start - time.time()))
    print(-1.0 if late and not smoke else rate_of([step], seconds))


def weights_at_once(*, smoke: bool) -> dict[str, Any]:
    """The largest difference of a weight between models trained at once and each alone, repeatable kernels given."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        alone, again, together = ([some_trainer(seed, smoke=smoke) for seed in (0, 1)] for _ in range(3))
        for trainer in (*alone, *again):
            take_steps(trainer, 10 if smoke else 500)
        # Recorded one after the other, replayed at once.
        for trainer in together:
            take_steps(trainer, 5)
        threads = [threading.Thread(target=take_steps, args=(each, 5 if smoke else 495, 5)) for each in together]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        torch.backends.cudnn.deterministic = before
    return {"at once": largest_difference(alone, together), "twice alone": largest_difference(alone, again)}


def some_trainer(seed: int, *, smoke: bool) -> Trainer:
    """A training of LoRAE on noise."""
    options: dict[str, Any] = {"method": "lorae", "penalty": PENALTY, "seed": seed, "width": 0.125 if smoke else 1.0}
    return build_trainer("mnist", 32, random_items("mnist", 128), **options)


def take_steps(trainer: Trainer, count: int, first: int = 0) -> None:
    """Steps on a stream of their own, as a thread of training takes them."""
    with torch.cuda.stream(torch.cuda.Stream() if torch.cuda.is_available() else None):
        for index in range(first, first + count):
            start = index % 4 * 32
            trainer.take_step(trainer.items[start : start + 32])
        wait()


def largest_difference(ones: list[Trainer], others: list[Trainer]) -> float:
    """Over all weights of all pairs."""
    first, second = ([w.detach() for each in group for w in each.model.parameters()] for group in (ones, others))
    return max(float((one - other).abs().max()) for one, other in zip(first, second, strict=True))
