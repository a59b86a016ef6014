"""Models at once on one GPU: threads with streams of their own in one process, against processes."""

import subprocess
import sys
import threading
import time
from typing import Any

import torch

from benchmarks.gpu.records import Records
from benchmarks.gpu.speed import PENALTY, our_loop, wait


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
    """Steps a second by the number of models."""
    steps: list[Any] = []
    seconds = 0.2 if smoke else 2.0
    for count in (1, 2) if smoke else (1, 2, 4, 8, 16):

        def take(count: int = count) -> dict[str, Any]:
            while len(steps) < count:
                steps.append(captured_loop(smoke=smoke))
            return {"models": count, "steps_per_second": rate_of(steps[:count], seconds)}

        records.measure(f"{count} in threads", take)
    steps.clear()
    for count in (2,) if smoke else (2, 4):
        records.measure(f"{count} in processes", lambda count=count: processes(count, seconds, smoke=smoke))


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
