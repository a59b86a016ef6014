"""Compare two processes with a thread each to one process with two threads, on the MNIST network at batch 128.

Both train on the same random images with the same global batch by `torchrun`'s machinery and without it. Each
measurement is a start of its own; rounds alternate between the two, so that a busy machine slows both, and ratios are
taken within a round. Run it by `make bench` on a machine with two idle cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS, STEPS, WARM_UP, BATCH = 5, 60, 10, 128


def measure(steps: int) -> None:
    """Train in this process, with the others if there are any; the first one prints the seconds of a step."""
    import numpy as np
    import torch

    from lorae.config.resolution import resolve
    from lorae.config.settings import ARRAY, Settings
    from lorae.data import Dataset, Split
    from lorae.runs.store import InMemoryRun
    from lorae.system.processes import session
    from lorae.training.trainer import Trainer

    items = np.random.default_rng(0).integers(0, 256, (BATCH * (steps + WARM_UP), 1, 32, 32), dtype=np.uint8)
    chosen = Settings(method="lorae", network="mnist", batch_size=BATCH, epochs=1, device="cpu", precision="float32")
    dataset = Dataset(ARRAY, Split(items), Split(items[:64]), "array", "")
    ends: list[float] = []

    with session("cpu") as processes:
        run = InMemoryRun(resolve(chosen, "images", dataset.shape), torch.get_num_threads())
        trainer = Trainer(run, dataset, quiet=True, processes=processes)
        take = trainer.take_step

        def timed(*batch: torch.Tensor) -> object:
            result = take(*batch)
            ends.append(time.perf_counter())
            return result

        trainer.take_step = timed  # type: ignore[assignment]
        trainer.fit()
        if processes.first:
            print(json.dumps((ends[-1] - ends[WARM_UP - 1]) / (len(ends) - WARM_UP)))


def seconds(processes: int, threads: int, steps: int) -> float:
    """Return the seconds of a step with so many processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "benchmarks.processes"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    words = [*command, "--measure", "--steps", str(steps)]
    done = subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Measure in rounds and print the seconds of a step and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="train in this process and print the seconds of a step")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    if options.measure:
        measure(options.steps)
        return
    ratios = []
    for number in range(options.rounds):
        one, two = seconds(1, 2, options.steps), seconds(2, 1, options.steps)
        ratios.append(two / one)
        print(
            f"round {number + 1}: one process with two threads {1000 * one:.1f} ms a step, "
            f"two processes with one {1000 * two:.1f} ms; ratio {two / one:.2f}",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); at most 1 is wanted")


if __name__ == "__main__":
    main()
