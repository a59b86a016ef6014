"""The table of named sources, and the choice between them, folders, files and arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lorae.config.data_settings import DataSettings
from lorae.data.arrays import load_array, load_array_file
from lorae.data.celeba import load_celeba
from lorae.data.dataset import Dataset
from lorae.data.folder import load_folder
from lorae.data.mnist import load_fashion_mnist, load_mnist
from lorae.data.shapes import load_grey_shapes, load_shapes
from lorae.data.splits import check_settings
from lorae.errors import LoraeError


@dataclass(frozen=True)
class NamedSource:
    """A source that the user picks by name."""

    load: Callable[[DataSettings], Dataset]
    summary: str
    takes_factors: bool = False
    takes_root: bool = False


NAMED_SOURCES = {
    "mnist": NamedSource(load_mnist, "70,000 handwritten digits, grey", takes_root=True),
    "fashion-mnist": NamedSource(load_fashion_mnist, "70,000 pictures of clothing, grey", takes_root=True),
    "celeba": NamedSource(load_celeba, "faces of celebrities, colour, from files that you have", takes_root=True),
    "shapes": NamedSource(
        load_shapes, "12,000 drawn shapes, colour, with up to 7 known dimensions", takes_factors=True
    ),
    "shapes-grey": NamedSource(
        load_grey_shapes, "12,000 drawn discs, grey, with up to 3 known dimensions", takes_factors=True
    ),
}


def source_names() -> list[str]:
    """The names that `DataSettings.data` understands besides paths and arrays."""
    return list(NAMED_SOURCES)


def load_data(settings: DataSettings) -> Dataset:
    """Load, prepare and check what `settings` ask for.

    Returns uint8 images (n, c, h, w) with sides that are multiples of 8, or float32 vectors (n, d).
    Raises LoraeError for unknown data, settings that do not fit them, and missing or broken files.
    """
    check_settings(settings)
    data = settings.data
    source = NAMED_SOURCES.get(data) if isinstance(data, str) else None
    for option in ("factors", "root"):
        name = {"factors": "factors", "root": "data_root"}[option]
        if getattr(settings, name) is not None and not (source and getattr(source, f"takes_{option}")):
            takers = [key for key, entry in NAMED_SOURCES.items() if getattr(entry, f"takes_{option}")]
            raise LoraeError(f"{name}: got {getattr(settings, name)!r}, but only {', '.join(takers)} take it")
    if not isinstance(data, str):
        return load_array(settings, data)
    if source is not None:
        return source.load(settings)
    path = Path(data).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix.lower() == ".zip"):
        return load_folder(settings, path)
    if path.is_file() and path.suffix.lower() in (".npy", ".npz"):
        return load_array_file(settings, path)
    if not path.exists() and ("/" in data or path.suffix):
        raise LoraeError(f"data: {data!r} does not exist; expected a folder of images, a .zip, .npy or .npz file")
    raise LoraeError(
        f"data: got {data!r}, expected {', '.join(source_names())}, a folder of images (or a .zip file of them), "
        "or an .npy/.npz file"
    )
