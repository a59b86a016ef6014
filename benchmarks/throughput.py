"""Compare training throughput and peak memory with a plain PyTorch loop, on the MNIST network at batch 32.

The plain loop is the usual one: a DataLoader, each image resized by PIL when it is read, float32, Adam,
and `F.mse_loss + weight * torch.linalg.matrix_norm(M, "nuc")`. The
other contestants are `lorae.train` as a user calls it, with its statistics and checkpoints. Each measurement is a
process of its own; rounds alternate between the contestants, so that a busy machine slows all of them, and ratios are
taken within a round. Run it by `make bench`.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "results" / "benchmarks" / "throughput"  # a file for each kind of processor
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- speed -->", "<!-- end of speed -->"
BATCH, LATENT_DIM, PENALTY = 32, 128, 1e-4
# Long enough for the slowdown of a plain loop when averages of Adam fade into denormal numbers (from step 600 on).
ROUNDS, STEPS = 3, 900
# Name -> arguments of `lorae.train`; None is the plain loop.
CONTESTANTS: dict[str, dict[str, Any] | None] = {
    "plain loop": None,
    "lorae": {"method": "lorae", "penalty": PENALTY},
    "lorae, float32": {"method": "lorae", "penalty": PENALTY, "precision": "float32"},
    "ae (no penalty)": {"method": "ae"},
}


def plain_loop(steps: int) -> float:
    """Return the images a second of the plain loop, over `steps` steps after ten to warm up."""
    import numpy as np
    import torch
    from PIL import Image
    from torch import nn
    from torch.nn.functional import mse_loss

    import lorae

    # Raw digits of 28 x 28, as they come in the IDX files, cut out of the prepared ones.
    raw = np.ascontiguousarray(lorae.load_data("mnist").train.inputs[:, 0, 2:30, 2:30])

    class Digits(torch.utils.data.Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(raw)

        def __getitem__(self, index: int) -> torch.Tensor:
            image = Image.fromarray(raw[index]).resize((32, 32), Image.Resampling.BILINEAR)
            return torch.from_numpy(np.asarray(image, dtype=np.float32)[None] / 255)

    torch.manual_seed(0)
    encoder = nn.Sequential()
    for before, after in ((1, 32), (32, 64), (64, 128), (128, 256)):
        encoder.extend([nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()])
    encoder.extend([nn.Flatten(), nn.Linear(1024, LATENT_DIM)])
    M = nn.Linear(LATENT_DIM, LATENT_DIM, bias=False)
    decoder = nn.Sequential(
        nn.Linear(LATENT_DIM, 8192),
        nn.ReLU(),
        nn.Unflatten(1, (128, 8, 8)),
        nn.ConvTranspose2d(128, 64, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 1),
        nn.Tanh(),
    )
    model = nn.Sequential(encoder, M, decoder)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = iter(torch.utils.data.DataLoader(Digits(), BATCH, shuffle=True))
    start = 0.0
    for step in range(steps + 10):
        if step == 10:
            start = time.perf_counter()
        x = next(batches)
        loss = mse_loss(model(x), x) + PENALTY * torch.linalg.matrix_norm(M.weight, "nuc")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return steps * BATCH / (time.perf_counter() - start)


def lorae_loop(steps: int, settings: dict[str, Any]) -> float:
    """Return the images a second of `lorae.train` after its first hundred steps, with statistics and a checkpoint."""
    import lorae

    with tempfile.TemporaryDirectory() as folder:
        out, options = Path(folder) / "run", {"epochs": 1, "quiet": True, **settings}
        run = lorae.train("mnist", limit=(steps + 100) * BATCH, out=out, **options)
        first, *_, last = run.stats("step")
        return float((last["step"] - first["step"]) * BATCH / (last["seconds"] - first["seconds"]))


def measure(name: str, steps: int) -> dict[str, float]:
    """Return the images a second and the peak memory in MB of one contestant, measured in a fresh process."""
    command = [sys.executable, __file__, "--contestant", name, "--steps", str(steps)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def main() -> None:
    """Run all rounds, print the table, write the record and the table of docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument(
        "--contestant",
        choices=CONTESTANTS,
        help="measure one, in this process (used by itself)",
    )
    parser.add_argument("--draw-only", action="store_true", help="draw the table of the page, measure nothing")
    options = parser.parse_args()
    if options.draw_only:
        write_page()
        return
    if options.contestant:
        settings = CONTESTANTS[options.contestant]
        speed = plain_loop(options.steps) if settings is None else lorae_loop(options.steps, settings)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"images_per_second": speed, "peak_mb": peak}))
        return
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        rounds.append({name: measure(name, options.steps) for name in CONTESTANTS})
    rows = {name: summarise(name, rounds) for name in CONTESTANTS}
    print(table(rows))
    here = machine()
    record = {
        "schema": 1,
        "command": "make bench",
        "machine": here,
        "batch_size": BATCH,
        "rounds": rounds,
        "summary": rows,
    }
    RECORDS.mkdir(parents=True, exist_ok=True)
    (RECORDS / f"{here['bfloat16_unit']}.json").write_text(json.dumps(record, indent=2) + "\n")
    write_page()


def write_page() -> None:
    """Write the tables of all records to the page, each under the processor that it was measured on."""
    records = [json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))]
    parts = [f"On {describe(record['machine'])}:\n\n{table(record['summary'])}" for record in records]
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text("\n".join([before + BEGIN, "\n\n".join(parts), END + rest.split(END)[1]]))


def describe(machine: dict[str, Any]) -> str:
    """Return a processor in words."""
    units = {"amx_bf16": "AMX (matrix units for bfloat16)", "avx512_bf16": "AVX-512 products of bfloat16"}
    unit = units.get(machine["bfloat16_unit"], "no fast bfloat16")
    return f"{machine['threads']} cores of {machine['processor']} with {unit}"


def summarise(name: str, rounds: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    """Return the median speed, median and range of the ratio to the plain loop within a round, largest peak memory."""
    ratios = [r[name]["images_per_second"] / r["plain loop"]["images_per_second"] for r in rounds]
    return {
        "images_per_second": statistics.median(r[name]["images_per_second"] for r in rounds),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "peak_mb": max(r[name]["peak_mb"] for r in rounds),
    }


def table(rows: dict[str, dict[str, float]]) -> str:
    """Return the table of the page, in Markdown."""
    lines = ["| | images a second | times the plain loop (range) | peak memory |", "|---|---|---|---|"]
    for name, row in rows.items():
        spread = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        lines.append(f"| {name} | {row['images_per_second']:.0f} | {spread} | {row['peak_mb']:.0f} MB |")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Return the properties of the machine that the numbers depend on."""
    import torch

    from lorae.system.hardware import bfloat16_unit

    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": processor(),
        "bfloat16_unit": bfloat16_unit("cpu") or "none",
    }


def processor() -> str:
    """Return the maker's name of the processor if the system reports it (Linux), else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
