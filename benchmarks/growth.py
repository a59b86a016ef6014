"""Measure how time and memory grow with the number of images, the size of the latent and of images, and processes.

Each measurement is a process of its own with one thread. The time is that of its processor, which other work on the
machine changes little; the memory is its own at most, without pages of mapped files, which the system can drop. Run it
by `make bench`. It measures what has no record; without records it takes about ten minutes on a machine with no other
work. `--anew` measures everything again.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.page import FOLDER as GPU_FOLDER
from benchmarks.gpu.records import Records
from benchmarks.throughput import machine
from studies import common

RECORD = common.ROOT / "results" / "benchmarks" / "growth.jsonl"
PAGE = "docs/performance.md"

IMAGES = (1_000, 10_000, 100_000, 300_000, 1_000_000)
LATENTS = (32, 64, 128, 256, 512, 1024, 2048)
SIDES = (32, 64, 128, 256)
PROCESSES = (1, 2)
# Exponents begin where what does not grow, such as imports and figures, is no longer most of the cost.
FITTED_FROM = {"images": 10_000, "latent": 256, "side": 32}
# Items of the growth in images: small, so that a million of them take minutes.
SIDE, BATCH, LATENT, WIDTH = 16, 256, 32, 0.125
# Steps of a measurement of single steps, after some to warm up.
STEPS, WARM = 5, 2

STAGES = {
    "prepare": "prepare a file for training",
    "train": "train for an epoch",
    "encode": "encode the training items",
    "evaluate": "evaluate: error, rank and FID of 10,000 samples",
    "fit": "fit the estimator on vectors, an epoch",
}

# A network of full width for images of 64 x 64 was measured on a GPU; larger images take as many times as long as they
# have more pixels, as its layers are convolutions.
MEASURED_SIDE, MEASURED_BATCH, MEASURED = 64, 32, ("celeba-steps", "celeba 32 bfloat16: ours, captured, lorae")
IMAGENET, GPUS, EPOCHS = 1_281_167, 8, 100
# Share of the time of a GPU in which it computes: all of it, and with a fifth lost to the exchange of gradients.
EFFICIENCIES = (1.0, 0.8)


# Measurements, each in a process of its own


def images_file(folder: Path, count: int, side: int) -> Path:
    """Make a file of gray images with blobs at random places, some at a time; return its path."""
    path, rng = folder / f"{count}-{side}.npy", np.random.default_rng(0)
    if path.exists():
        return path
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, side, side))
    grid = np.arange(side, dtype=np.float32)
    for start in range(0, count, 10_000):
        rows = min(10_000, count - start)
        x, y, width = rng.uniform(0.2 * side, 0.8 * side, (3, rows, 1)).astype(np.float32)
        across, down = (np.exp(-(((grid - place) / (width / 4)) ** 2)) for place in (x, y))
        array[start : start + rows] = 255 * across[:, None, :] * down[:, :, None]
    del array
    return path


def measure_prepare(folder: Path, count: int) -> float:
    """Return the seconds until a file is in the cache."""
    import lorae

    path, started = images_file(folder, count, SIDE), time.process_time()
    lorae.load_data(str(path))
    return time.process_time() - started


def measure_train(folder: Path, count: int) -> float:
    """Return the seconds of an epoch, with statistics and checkpoints."""
    import lorae

    class Clock:
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_step_end(self, _: Any) -> None:
            self.times.append(time.process_time())

    clock = Clock()
    settings = {"latent_dim": LATENT, "width": WIDTH, "batch_size": BATCH, "epochs": 1, "quiet": True}
    lorae.train(str(images_file(folder, count, SIDE)), out=folder / f"run-{count}", callbacks=[clock], **settings)
    first = clock.times[WARM] if len(clock.times) > 2 * WARM else clock.times[0]
    steps = len(clock.times) - 1 - clock.times.index(first)
    return (clock.times[-1] - first) / steps * len(clock.times)


def trained(folder: Path, count: int) -> Path:
    """Return the folder of the run that `measure_train` makes, which is made now if it was measured before."""
    if not (folder / f"run-{count}" / "model.json").exists():
        measure_train(folder, count)
    return folder / f"run-{count}"


def measure_encode(folder: Path, count: int) -> float:
    """Return the seconds of the codes of all training items."""
    import lorae

    model = lorae.load(trained(folder, count))
    items = lorae.load_data(str(images_file(folder, count, SIDE))).train.inputs
    started = time.process_time()
    model.encode(items)
    return time.process_time() - started


def measure_evaluate(folder: Path, count: int) -> float:
    """Return the seconds of `lorae evaluate` with three measures."""
    import lorae

    options = {"features": "raw", "draws": 1, "samplers": "gaussian", "quiet": True}
    run, started = trained(folder, count), time.process_time()
    lorae.evaluate(run, only="reconstruction,rank,fid", **options)
    return time.process_time() - started


def measure_fit(_: Path, count: int) -> float:
    """Return the seconds of an estimator's fit, of an epoch on vectors of 16 columns."""
    import lorae

    rng = np.random.default_rng(0)
    vectors = np.tanh(rng.normal(size=(count, 4)) @ rng.normal(size=(4, 16))).astype(np.float32)
    started = time.process_time()
    lorae.LoRAE(rank=4, epochs=1, batch_size=BATCH, random_state=0).fit(vectors)
    return time.process_time() - started


def measure_step(folder: Path, side: int, latent: int, width: float) -> float:
    """Return the seconds of a step of LoRAE at batch 32, the median of some."""
    from lorae.api.training import _plan
    from lorae.runs.store import InMemoryRun
    from lorae.training.trainer import Trainer

    path = images_file(folder, 600, side)
    settings, dataset, _ = _plan(str(path), None, {"latent_dim": latent, "width": width, "batch_size": 32, "epochs": 9})
    trainer, times = Trainer(InMemoryRun(settings, 1), dataset, quiet=True), list[float]()
    take = trainer.take_step

    def timed(*items: Any) -> Any:
        started = time.process_time()
        result = take(*items)
        times.append(time.process_time() - started)
        if len(times) == WARM + STEPS:
            raise StopIteration
        return result

    trainer.take_step = timed  # type: ignore[assignment]
    with contextlib.suppress(StopIteration):
        trainer.fit()
    return statistics.median(times[WARM:])


def measure_processes(folder: Path, count: int) -> float:
    """Return the seconds, of the clock, of an epoch in several processes."""
    out = folder / f"processes-{count}"
    flags = [f"--latent-dim={LATENT}", "--width=0.5", f"--batch-size={BATCH}", "--epochs=1", "--device=cpu"]
    words = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"),
        *("-m", "lorae", "train", str(images_file(folder, 20_000, 32)), *flags, "--out", str(out)),
    ]
    subprocess.run(words, check=True, capture_output=True, timeout=600)
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    return float(lines[-1]["seconds"])


def own_memory(until: threading.Event, found: list[int]) -> None:
    """Append the bytes that this process has for itself, again and again; nothing where Linux does not say them."""
    status = Path("/proc/self/status")
    while status.exists() and not until.wait(0.01):
        lines = status.read_text().splitlines()
        found.append(1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon:"))))


def measured(stage: str, folder: Path, value: int) -> dict[str, Any]:
    """Return value, seconds and MiB of a measurement, in this process."""
    import lorae.api.training
    import lorae.training.trainer  # noqa: F401

    calls: dict[str, Callable[[], float]] = {
        "prepare": lambda: measure_prepare(folder, value),
        "train": lambda: measure_train(folder, value),
        "encode": lambda: measure_encode(folder, value),
        "evaluate": lambda: measure_evaluate(folder, value),
        "fit": lambda: measure_fit(folder, value),
        "latent": lambda: measure_step(folder, 32, value, 0.5),
        "side": lambda: measure_step(folder, value, LATENT, 0.25),
        "processes": lambda: measure_processes(folder, value),
    }
    until, found = threading.Event(), list[int]()
    watch = threading.Thread(target=own_memory, args=(until, found), daemon=True)
    watch.start()
    seconds = calls[stage]()
    until.set()
    watch.join()
    return {"value": value, "seconds": seconds, "mib": max(found) / 2**20 if found else None}


def in_a_process(stage: str, folder: Path, value: int) -> dict[str, Any]:
    """Return a measurement in a fresh process of one thread."""
    words = [sys.executable, "-m", "benchmarks.growth", "--stage", stage, str(value), "--folder", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LORAE_CACHE": str(folder / "cache")}
    print(f"{stage} {value:,}", file=sys.stderr)
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=common.ROOT, env=environment)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


# The record and its page


def exponent(rows: Sequence[dict[str, Any]], start: int, key: str = "seconds") -> float | None:
    """Return the slope of the logarithm of a cost in that of the value, by least squares from a value on."""
    some = [row for row in rows if row["value"] >= start and row[key]]
    if len(some) < 2:
        return None
    return float(np.polyfit([math.log(row["value"]) for row in some], [math.log(row[key]) for row in some], 1)[0])


def run(stages: Sequence[str], images: Sequence[int], folder: Path) -> None:
    """Measure what has no record, and record each measurement at once."""
    known = {(record["stage"], record["value"]) for record in records()}
    values = dict.fromkeys(STAGES, images) | {"latent": LATENTS, "side": SIDES}
    if find_spec("lorae.system.processes") is not None:  # versions that train in several processes
        values["processes"] = PROCESSES
    here = machine() | {"threads": 1}
    for stage in stages or values:
        for value in values.get(stage, ()):
            if (stage, value) in known:
                continue
            record = {"schema": 1, "stage": stage, **in_a_process(stage, folder, value), "machine": here}
            with RECORD.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


def records() -> list[dict[str, Any]]:
    """Return all records."""
    return [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.exists() else []


def draw() -> None:
    """Write the tables of docs/performance.md from the records."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(records(), key=lambda record: record["value"]):
        found.setdefault(record["stage"], []).append(record)
    if not found:
        return
    common.write_section(PAGE, "growth", "\n\n".join(growth_parts(found, next(iter(found.values()))[0]["machine"])))
    common.write_section(PAGE, "imagenet", imagenet(found))


def growth_parts(found: dict[str, list[dict[str, Any]]], here: dict[str, Any]) -> list[str]:
    """Return the tables of growth, with their captions."""
    stages = [stage for stage in STAGES if stage in found]
    counts = sorted({row["value"] for stage in stages for row in found[stage]})
    by_count = {stage: {row["value"]: row for row in found[stage]} for stage in stages}
    start = FITTED_FROM["images"]
    rows, sizes = [], []
    for stage in stages:
        at = by_count[stage]
        seconds = [f"{at[count]['seconds']:.3g}" if count in at else "–" for count in counts]
        rows.append([STAGES[stage], *seconds, shown(exponent(found[stage], start))])
        memory = [mib(at[count]["mib"]) if count in at else "–" for count in counts]
        sizes.append([STAGES[stage], *memory, tenfold({count: row["mib"] for count, row in at.items()})])
    header = ["stage", *(f"{count:,}" for count in counts)]
    parts = [
        f"Seconds by number of images of {SIDE}x{SIDE} pixels, one thread of {here['processor']}, torch "
        f"{here['torch']}, batch {BATCH}. The exponent is the slope of the logarithms from {start:,} images on:",
        common.markdown_table([*header, "exponent"], rows),
        "The process's own memory at most, in MiB, and how many times as much the last tenfold of images takes:",
        common.markdown_table([*header, "times"], sizes),
    ]
    for name, words in (("latent", "size of the latent"), ("side", "side of images, in pixels")):
        if name not in found:
            continue
        slope = shown(exponent(found[name], FITTED_FROM[name]))
        table = [[f"{row['value']:,}", f"{1000 * row['seconds']:.3g}", mib(row["mib"])] for row in found[name]]
        parts += [
            f"A step of LoRAE at batch 32 by {words}; the exponent from {FITTED_FROM[name]} on is {slope}:",
            common.markdown_table([words, "milliseconds", "MiB"], table),
        ]
    if "processes" in found:
        alone = found["processes"][0]["seconds"]
        table = [[str(r["value"]), f"{r['seconds']:.3g}", f"{alone / r['seconds']:.2f}"] for r in found["processes"]]
        parts += [
            "An epoch on 20,000 images of 32x32 pixels in several processes, by the clock:",
            common.markdown_table(["processes", "seconds", "times as fast"], table),
        ]
    return parts


def shown(slope: float | None) -> str:
    """Return an exponent in two decimals."""
    return "–" if slope is None else f"{slope:.2f}"


def mib(value: float | None) -> str:
    """Return a memory in whole MiB."""
    return "–" if value is None else f"{value:.0f}"


def tenfold(values: dict[int, float | None]) -> str:
    """Return how many times as much memory the largest number of images takes as a tenth of it."""
    last = max(values)
    low, high = values.get(last // 10), values[last]
    return "–" if not low or not high else f"{high / low:.2f}"


def imagenet(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of the times that ImageNet would take on several GPUs."""
    on_gpu = next(r for r in Records(common.ROOT / GPU_FOLDER).all() if (r["part"], r["name"]) == MEASURED)["result"]
    per_image = on_gpu["milliseconds"] / 1000 / MEASURED_BATCH
    prepared = found["prepare"][-1]
    per_pixel = prepared["seconds"] / prepared["value"] / SIDE**2
    rows = []
    for side in (64, 224):
        grown = (side / MEASURED_SIDE) ** 2
        speed = 1 / (per_image * grown)
        hours = [EPOCHS * IMAGENET / speed / GPUS / share / 3600 for share in EFFICIENCIES]
        size = IMAGENET * 3 * side**2
        rows.append(
            [
                f"{side}x{side}",
                f"{speed:,.0f}",
                " to ".join(f"{hour:.1f}" for hour in hours),
                f"{GPUS * speed * 3 * side**2 / 1e9:.1f}",
                f"{size / 1e9:.0f}",
                f"{per_pixel * size / 60:.0f}",
            ]
        )
    header = [
        "images",
        "images a second and GPU",
        f"hours for {EPOCHS} epochs on {GPUS} GPUs",
        "GB a second that are read",
        "GB in the cache",
        "minutes to copy them there",
    ]
    return common.markdown_table(header, rows)


def main() -> None:
    """Measure what has no record, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", help="measure these alone")
    parser.add_argument("--draw-only", action="store_true", help="draw the tables of the page, measure nothing")
    parser.add_argument("--anew", action="store_true", help="forget all records first")
    parser.add_argument("--most", type=int, default=IMAGES[-1], help="largest number of images")
    parser.add_argument("--stage", nargs=2, metavar=("NAME", "VALUE"), help="measure one (used by itself)")
    parser.add_argument("--folder", type=Path, help="a folder for data and runs, which are kept there")
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(measured(options.stage[0], options.folder, int(options.stage[1]))))
        return
    if not options.draw_only:
        if options.anew:
            RECORD.unlink(missing_ok=True)
        images = [count for count in IMAGES if count <= options.most]
        with tempfile.TemporaryDirectory() as temporary:
            run(options.stages, images, options.folder or Path(temporary))
    draw()


if __name__ == "__main__":
    main()
