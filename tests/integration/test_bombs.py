"""Files that stand for more than they are, and devices without an end, cost neither memory nor time."""

import gzip
import io
import os
import sys
import time
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

import lorae
from lorae.errors import LoraeError
from lorae.runs import Run
from lorae.system import memory as memory_module

MIB = 2**20
# Seconds for a refusal, and bytes of memory that it may take.
QUICK, LITTLE = 10, 300 * MIB

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="devices and pipes are others there")


@pytest.fixture(autouse=True)
def _bounded():
    """Every test is over soon, and takes little memory at any time."""
    resource = pytest.importorskip("resource")
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken * (1 if sys.platform == "darwin" else 1024) < LITTLE
    assert time.process_time() - started < QUICK


@pytest.fixture
def refused(run_cli):
    """`refused(words)` runs a command that must end in one line, which is returned."""

    def refused(*words):
        code, _, errors = run_cli(*words)
        said = [line for line in errors.splitlines() if not line.startswith("lorae: warning: ")]
        assert code == 2, errors
        assert len(said) == 1, errors
        assert said[0].startswith("lorae: ")
        return said[0]

    return refused


def entries(path, run):
    """Every command that takes a file of items."""
    return {
        "train": ["train", path, "--dry-run"],
        "data": ["data", path],
        "encode": ["encode", run, path],
        "decode": ["decode", run, path],
        "fid": ["fid", path, path, "--features", "raw"],
        "reconstruct": ["reconstruct", run, "--data", path],
        "moved data": ["spectrum", run, "--data", path],
    }


each_entry = pytest.mark.parametrize("entry", entries("", ""))


@each_entry
@pytest.mark.parametrize("kind", ["/dev/zero", "a pipe"])
def test_an_endless_device_is_refused_at_every_entry(entry, kind, trained, refused, tmp_path):
    for suffix in (".npy", ".npz", ".zip", ".csv", ".parquet", ".tif", ""):
        path = endless(kind, tmp_path / f"link{suffix}")
        refused(*entries(path, trained.path)[entry])


def endless(kind, path):
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(kind)
    return path


def other_entries(path, trained, image_file):
    """Every command that takes another file."""
    run = trained.path
    return {
        "config": ["train", image_file, "--config", path, "--dry-run"],
        "network": ["train", image_file, "--network", f"{path}:build", "--dry-run"],
        "own features": ["fid", image_file, image_file, "--features", f"{path}:build"],
        "inception": ["fid", image_file, image_file, "--features", "inception", "--features-weights", path],
        "evaluate": ["evaluate", run, "--only", "fid", "--features", "inception", "--features-weights", path],
    }


@pytest.mark.parametrize("entry", ["config", "network", "own features", "inception", "evaluate"])
@pytest.mark.parametrize("kind", ["/dev/zero", "a pipe"])
def test_an_endless_device_in_place_of_another_file_is_refused(entry, kind, trained, image_file, refused, tmp_path):
    refused(*other_entries(endless(kind, tmp_path / "link.py"), trained, image_file)[entry])


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["/dev/zero", "a pipe"])
def test_an_endless_device_in_a_folder_of_a_hub_is_refused(name, kind, trained, tmp_path):
    for file in ("model.json", "model.safetensors"):
        (tmp_path / file).write_bytes((trained.path / file).read_bytes())
    (tmp_path / name).unlink()
    endless(kind, tmp_path / name)
    with pytest.raises(LoraeError, match=name.replace(".", r"\.")):
        lorae.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["/dev/zero", "a pipe"])
def test_an_endless_device_among_the_files_of_a_data_set_is_refused(kind, refused, tmp_path):
    endless(kind, tmp_path / "train-images-idx3-ubyte")
    refused("data", "mnist", "--data-root", tmp_path)


# Bombs


@pytest.fixture
def small_memory(monkeypatch):
    """A machine of 64 MiB, on which bombs can be small."""
    monkeypatch.setattr(memory_module, "memory", lambda: 64 * MIB)


def zip_of(members, packing=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", packing) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def header(shape, dtype="|u1"):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": dtype, "fortran_order": False, "shape": shape})
    return content.getvalue()


@each_entry
def test_an_npz_file_that_unpacks_beyond_the_memory_is_refused(entry, trained, refused, small_memory, tmp_path):
    zeros = header((100 * MIB // 256, 1, 16, 16)) + bytes(100 * MIB)
    path = tmp_path / "bomb.npz"
    path.write_bytes(zip_of({"images.npy": zeros}))
    assert path.stat().st_size < MIB
    assert "GiB of memory, expected at most" in refused(*entries(path, trained.path)[entry])


@pytest.mark.parametrize("entry", ["train", "encode", "fid"])
@pytest.mark.parametrize("shape", [(10**12, 16, 16), (10**18, 10**18), (2**63, 2), (-1, 4), (0, 0)])
def test_a_header_of_more_items_than_there_are_is_refused(entry, shape, trained, refused, tmp_path):
    for name, content in {"x.npy": header(shape), "x.npz": zip_of({"images.npy": header(shape)})}.items():
        (tmp_path / name).write_bytes(content)
        refused(*entries(tmp_path / name, trained.path)[entry])


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_file_of_pictures_that_unpacks_to_many_times_its_size_is_refused(packing, refused, monkeypatch, tmp_path):
    monkeypatch.setattr("lorae.data.image_files.MOST_BYTES", 8 * MIB)
    path = tmp_path / "bomb.zip"
    path.write_bytes(zip_of({f"{number}.bmp": bytes(4 * MIB) for number in range(6)}, packing))
    assert path.stat().st_size < MIB
    for words in (["data", path], ["data", path, "--skip-bad"], ["fid", path, path, "--features", "raw"]):
        assert "images unpack to" in refused(*words)


def test_an_archive_within_an_archive_is_no_picture(refused, tmp_path):
    inner = zip_of({"0.png": bytes(MIB)})
    (tmp_path / "outer.zip").write_bytes(zip_of({f"{number}.png": inner for number in range(3)}))
    assert "cannot be decoded" in refused("data", tmp_path / "outer.zip")


def test_packed_files_of_a_data_set_are_unpacked_to_their_size_only(refused, monkeypatch, tmp_path):
    monkeypatch.setattr("lorae.data.mnist.MOST_UNPACKED", 8 * MIB)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (tmp_path / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(bytes(64 * MIB)))
    assert "unpacks to more than 8,388,608 bytes" in refused("data", "mnist", "--data-root", tmp_path)


def test_a_parquet_file_of_one_value_in_many_rows_is_refused(refused, small_memory, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    path = tmp_path / "bomb.parquet"
    write_table(pyarrow.table({"a": np.zeros(10 * MIB, np.int8), "b": np.zeros(10 * MIB, np.int8)}), path)
    assert path.stat().st_size < MIB
    assert "its 10,485,760 rows take 0.2 GiB of memory" in refused("data", path)


def test_a_picture_of_a_bomb_is_refused(refused, tmp_path):
    """A PNG file of 60,000 x 60,000 white pixels, and one with a text of 100 MiB."""
    row = zlib.compress(bytes(60_001) * 60)

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    def png(side, *chunks):
        size = side.to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + b"".join(chunks) + chunk(b"IEND", b"")

    text = b"key\0\0" + zlib.compress(bytes(100 * MIB))
    for content in (png(60_000, chunk(b"IDAT", row)), png(16, chunk(b"zTXt", text), chunk(b"IDAT", row))):
        (tmp_path / "folder").mkdir(exist_ok=True)
        for number in range(3):
            (tmp_path / "folder" / f"{number}.png").write_bytes(content)
        assert "cannot be decoded" in refused("data", tmp_path / "folder")


def test_a_stack_of_more_frames_than_the_memory_has_is_refused(refused, monkeypatch, tmp_path):
    monkeypatch.setattr("lorae.data.pictures.memory", lambda: 64 * 1024)
    frames = [Image.new("L", (64, 64), number) for number in range(40)]
    frames[0].save(tmp_path / "stack.tif", save_all=True, append_images=frames[1:])
    assert "more than memory must hold" in refused("data", tmp_path / "stack.tif")


@pytest.mark.parametrize("suffix", [".csv", ".tif", ".npy", ".npz", ".zip", ".parquet"])
def test_a_file_that_is_nothing_but_a_hole_is_refused(suffix, trained, refused, tmp_path):
    path = tmp_path / f"hole{suffix}"
    with path.open("wb") as file:
        file.truncate(2**42)
    for entry in ("data", "encode", "fid"):
        refused(*entries(path, trained.path)[entry])


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "[" * 20_000,
        "a: " + "{b: " * 20_000,
        "epochs: " + "9" * 10_000,
        "a: 1\n" * 100_000,
        "seed: !!python/object/apply:os.system ['true']",
    ],
)
def test_settings_that_take_long_to_read_are_refused(text, image_file, refused, tmp_path):
    (tmp_path / "settings.yaml").write_text(text)
    assert len(refused("train", image_file, "--config", tmp_path / "settings.yaml", "--dry-run")) < 600


def test_a_packed_checkpoint_is_refused_before_it_is_unpacked(trained, tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.json").write_bytes((trained.path / "config.json").read_bytes())
    (folder / "checkpoints" / "last.pt").write_bytes(zip_of({"archive/data.pkl": bytes(64 * MIB)}))
    with pytest.raises(LoraeError, match=r"the file is packed, expected one of torch\.save"):
        Run(folder).load_checkpoint()


def test_sizes_beyond_the_memory_are_one_line(image_file, trained, refused):
    for words in (
        ["train", image_file, "--latent-dim", "1000000", "--dry-run"],
        ["train", image_file, "--latent-dim", "10000000", "--method", "ae", "--width", "8", "--dry-run"],
        ["train", image_file, "--latent-dim", 2**62, "--dry-run"],
        ["train", image_file, "--width", "1e6", "--dry-run"],
        ["train", image_file, "--network", "resnet", "--depth", "1000000", "--dry-run"],
        ["train", image_file, "--method", "irmae", "--bottleneck.layers", "1000000", "--dry-run"],
        ["fid", image_file, image_file, "--features", "raw", "--size", "99999999999999999999"],
        ["train", image_file, "--size", "10000000", "--dry-run"],
        ["sample", trained.path, "-n", 10**15],
    ):
        refused(*words)
