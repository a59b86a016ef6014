"""Compare the speed of a training on items in a file with that of the same training on items in memory.

The images are random bytes, which no compression of the disk shortens. Rounds alternate between the contestants, each
in a process of its own, and ratios are taken within a round. `file, cold` asks the system to forget the pages of the
file before the training. Run it by `python -m benchmarks.streaming`.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

# Name -> the size in MiB up to which arrays are kept in memory, and whether the file is in the system's cache of pages.
CONTESTANTS = {"memory": ("100000", True), "file": ("0", True), "file, cold": ("0", False)}
SHAPE, ROUNDS, BATCH = (3, 64, 64), 3, 64
# Enough steps for a stable speed. The images of one epoch, 123 MB, are also few enough for any disk.
STEPS = 160


def write_images(path: Path, count: int) -> None:
    """Write an .npy file of random images."""
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, *SHAPE))
    rng = np.random.default_rng(0)
    for start in range(0, count, 1000):
        images[start : start + 1000] = rng.integers(0, 256, images[start : start + 1000].shape, dtype=np.uint8)
    images.flush()


def train(path: str, width: float) -> dict[str, float]:
    """Return the images a second, the share of time waiting for data, and the memory of a training in this process."""
    import lorae

    with tempfile.TemporaryDirectory() as folder:
        options = {"network": "celeba", "width": width, "latent_dim": 32, "epochs": 1, "batch_size": BATCH}
        run = lorae.train(path, out=Path(folder) / "run", quiet=True, log_every=STEPS // 4, **options)
        first, *_, last = run.stats("step")
        seconds = last["seconds"] - first["seconds"]
        return {
            "images_per_second": (last["step"] - first["step"]) * BATCH / seconds,
            "data_wait": statistics.mean(line.get("data_wait", 0.0) for line in run.stats("step")),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def measure(name: str, path: Path, folder: str, width: float) -> dict[str, float]:
    """Measure one contestant in a fresh process."""
    in_memory, warm = CONTESTANTS[name]
    if not warm and hasattr(os, "posix_fadvise"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    environment = os.environ | {"LORAE_IN_MEMORY": in_memory, "LORAE_CACHE": f"{folder}/{name}"}
    command = [sys.executable, "-m", "benchmarks.streaming", "--train", str(path), "--width", str(width)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Run all rounds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--width", type=float, default=0.125, help="of the network; a small one needs its items faster")
    parser.add_argument("--train", help="train on a file, in this process (used by itself)")
    options = parser.parse_args()
    if options.train:
        print(json.dumps(train(options.train, options.width)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        write_images(path, round(options.steps * BATCH / 0.9))
        rounds = [
            {name: measure(name, path, folder, options.width) for name in CONTESTANTS} for _ in range(options.rounds)
        ]
    print(
        "| items in | images a second | times memory (range) | waiting for data | peak memory |\n|---|---|---|---|---|"
    )
    for name in CONTESTANTS:
        ratios = [each[name]["images_per_second"] / each["memory"]["images_per_second"] for each in rounds]
        speed, wait, peak = (
            statistics.median(each[name][key] for each in rounds)
            for key in ("images_per_second", "data_wait", "peak_mb")
        )
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {speed:.0f} | {spread} | {wait:.1%} | {peak:.0f} MB |")


if __name__ == "__main__":
    main()
