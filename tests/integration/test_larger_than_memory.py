"""Data larger than memory: training, evaluation and encoding within a limit on the address space of the process.

The limit counts from what a process takes that has imported the package. `RLIMIT_AS` bounds everything that the process
maps, so that a map of a file counts as much as memory does, and a single allocation too many ends the test.
"""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

MIB = 2**20

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and a limit that holds")

# Limits itself to the address space that it has and so many MiB, runs a script, and prints its largest memory in MiB.
LIMITED = """
import json, os, resource, sys
import torch
import lorae, lorae.evaluation.evaluator, lorae.runs, lorae.training.trainer

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(name + ":"))

torch.set_num_threads(1)
idle, before = status("VmSize"), status("VmRSS")
limit = (idle + int(sys.argv[1])) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
folder, data, settings = sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
found = {}
exec(sys.stdin.read())
print(json.dumps(found | {"idle": idle, "mapped": status("VmPeak") - idle, "resident": status("VmHWM") - before}))
"""

# Networks whose steps take hardly more time than the items.
NETWORKS = """
side = 8
networks = {
    "encoder": torch.nn.Sequential(torch.nn.AvgPool2d(side), torch.nn.Flatten(), torch.nn.Linear(3 * 26 * 26, 4)),
    "decoder": torch.nn.Sequential(
        torch.nn.Linear(4, 3 * 26 * 26), torch.nn.Unflatten(1, (3, 26, 26)), torch.nn.Upsample(scale_factor=side)
    ),
}
open_run = lambda: lorae.runs.Run(f"{folder}/run", **networks)
"""
BUILT_IN = """
networks, open_run = {}, lambda: f"{folder}/run"
"""
TRAIN = """
run = lorae.train(data, out=f"{folder}/run", quiet=True, **networks, **settings)
wait = [line["data_wait"] for line in run.stats("step")]
found |= {"items": run.config["data"]["splits"], "wait": wait, "mse": run.summary()["test_mse"]}
"""
EVALUATE = """
measured = lorae.evaluate(open_run(), only=["reconstruction", "rank", "explained"], quiet=True)
found |= {"n": measured["reconstruction"]["n"], "error": measured["reconstruction"]["mse"]}
made = lorae.sample(open_run(), n=4, sampler="mvg", out=f"{folder}/made.npy")
"""
ENCODE = """
codes = lorae.encode(open_run(), data, out=f"{folder}/codes.npy")
found |= {"codes": list(codes.shape), "sum": float(abs(codes.astype("float64")).sum())}
"""
LOAD = """
dataset = lorae.load_data(data, test_fraction=settings["test_fraction"])
found |= {"stored": dataset.train.stored, "shape": list(dataset.train.inputs.shape)}
"""


def within(room, tmp_path, data, script, *, in_memory, **settings):
    """Run a script in a process that may map `room` MiB besides those of an idle one."""
    environment = os.environ | {
        "LORAE_IN_MEMORY": str(in_memory),
        "LORAE_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",  # each thread would reserve 64 MiB of addresses
    }
    words = [sys.executable, "-c", LIMITED, str(room), str(tmp_path), str(data), json.dumps(settings)]
    done = subprocess.run(words, input=script, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def sparse_images(path, count, shape, every):
    """Write an .npy file of black images whose blocks take no room, but for some with a square."""
    rng = np.random.default_rng(0)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, *shape))
    for row in range(0, count, every):
        x, y, side = rng.integers(0, shape[1] // 2), rng.integers(0, shape[1] // 2), rng.integers(4, shape[1] // 2)
        images[row, :, y : y + side, x : x + side] = rng.integers(64, 256)
    images.flush()
    return path


SMALL = {"network": "mnist", "latent_dim": 4, "width": 0.03125, "batch_size": 64, "epochs": 1, "penalty": 1e-3}


@pytest.mark.slow
def test_memory_is_flat_when_the_images_are_ten_times_as_many(tmp_path):
    mapped = {}
    for count in (3_000, 30_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        path = sparse_images(folder / "images.npy", count, (3, 32, 32), every=5)
        found = within(700, folder, path, BUILT_IN + LOAD + TRAIN + ENCODE, in_memory=1, test_fraction=1 / 3, **SMALL)
        assert found["stored"]
        assert found["items"] == {"train": count * 2 // 3, "test": count // 3}
        assert found["codes"] == [count, 4]
        assert all(0 <= share <= 1 for share in found["wait"])
        mapped[count] = found["idle"] + found["mapped"]
        assert not list((folder / "cache" / "data").glob("*/train.npy"))  # read in place
    assert mapped[30_000] == pytest.approx(mapped[3_000], rel=0.1)


def write_collections(folder, images, rows):
    """Write a folder and a zip file of images, a packed .npz file and a Parquet table; return their paths by kind."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    for number in range(images):
        Image.new("RGB", (8, 8), (number % 256, number // 256, 0)).save(pictures / f"{number}.png")
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for path in pictures.iterdir():
            archive.write(path, path.name)
    values = np.arange(rows * 32, dtype=np.float32).reshape(rows, 32) % 1000
    np.savez_compressed(folder / "packed.npz", values)
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pandas.DataFrame(values, columns=[f"column{number}" for number in range(32)])
    table.to_parquet(folder / "table.parquet", row_group_size=10_000)
    return {path.name: str(path) for path in (pictures, *folder.glob("*.*"))}


PREPARE = """
few, many = settings["few"], settings["many"]
for kind in sorted(many):
    options = {"size": 128} if "pictures" in kind else {}
    lorae.load_data(few[kind], **options)
    start = status("VmPeak")
    dataset = lorae.load_data(many[kind], **options)
    total = sum(float(dataset.train.inputs[at : at + 500].sum()) for at in range(0, len(dataset.train), 500))
    found[kind] = [dataset.train.stored, dataset.train.inputs.nbytes // 2**20, status("VmPeak") - start, total]
"""


def test_every_kind_of_data_is_prepared_in_parts(tmp_path):
    few, many = write_collections(tmp_path / "few", 450, 20_000), write_collections(tmp_path / "many", 3000, 1_200_000)
    found = within(1000, tmp_path, "none", PREPARE, in_memory=1, few=few, many=many)
    for kind in many:
        stored, size, growth, total = found[kind]
        assert stored
        assert size > 120
        assert growth < size / 2, found
        assert total > 0


@pytest.mark.slow
def test_eight_gigabytes_of_images_within_two(tmp_path):
    count, shape = 2**16, (3, 208, 208)  # 7.9 GiB
    path = sparse_images(tmp_path / "images.npy", count, shape, every=1000)
    settings = {key: value for key, value in SMALL.items() if key not in ("network", "width")} | {"test_fraction": 0.05}
    assert path.stat().st_size > 7.9 * 2**30
    for script in (TRAIN, EVALUATE, ENCODE):
        found = within(2048, tmp_path, path, NETWORKS + script, in_memory=512, **settings)
        print(script.splitlines()[1], found)
    assert found["codes"] == [count, 4]
    assert found["sum"] > 0
