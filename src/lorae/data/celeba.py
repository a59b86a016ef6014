"""CelebA's aligned faces, full or half size, in the official layout."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from lorae.config.data_settings import DataSettings
from lorae.config.datasets import DATASETS
from lorae.data.cache import Part
from lorae.data.dataset import Dataset
from lorae.data.folder import Names, load_store
from lorae.data.image_files import FolderStore, ZipStore
from lorae.data.preprocessing import Preparation
from lorae.data.splits import refuse_seeded_split, seeded_split
from lorae.errors import LoraeError

PICTURES = "img_align_celeba"
PARTITION = "list_eval_partition.txt"
LAYOUT = f"expected {PICTURES}/ or {PICTURES}.zip and, for the official split, {PARTITION}"
PARTS_BY_NUMBER: dict[str, Part | None] = {"0": "train", "1": None, "2": "test"}


def load_celeba(settings: DataSettings) -> Dataset:
    """CelebA's faces, uint8 (n, c, size, size), split as the official list says or, without it, by seed.

    Raises LoraeError for a missing folder, a malformed list and files that cannot be decoded.
    """
    if settings.data_root is None:
        raise LoraeError(
            f"data_root: celeba needs the folder of its files, pass data_root=FOLDER; {LAYOUT}",
            settings={"data_root": "FOLDER"},
        )
    place, pictures = _find(Path(settings.data_root).expanduser())
    store = FolderStore(pictures) if pictures.is_dir() else ZipStore(pictures)
    try:
        names = _split(store.names, place, settings)
        preparation = Preparation.from_settings(settings, DATASETS["celeba"])
        dataset = load_store("celeba", store, names, None, settings, preparation)
    finally:
        if isinstance(store, ZipStore):
            store.close()
    return replace(dataset, source=f"CelebA in {pictures}")


def _find(root: Path) -> tuple[Path, Path]:
    """The folder in the official layout and the folder or zip file of pictures in it."""
    places = [root, root / "celeba", root / "celeba-half"]
    for place in places:
        for pictures in (place / PICTURES, place / f"{PICTURES}.zip"):
            if pictures.exists():
                return place, pictures
    searched = ", ".join(str(place) for place in places)
    raise LoraeError(f"data_root: found no celeba in {searched}; {LAYOUT}")


def _split(files: list[str], place: Path, settings: DataSettings) -> Names:
    partition = place / PARTITION
    if not partition.is_file():
        train, test = seeded_split(len(files), settings)
        return {"train": [files[index] for index in train], "test": [files[index] for index in test]}
    refuse_seeded_split(settings, str(partition))
    part_of = _read_partition(partition)
    names: Names = {"train": [], "test": []}
    for file in files:
        part = part_of.get(PurePosixPath(file).name)
        if part is not None:
            names[part].append(file)
    for part, chosen in names.items():
        if not chosen:
            raise LoraeError(
                f"{partition}: none of the {len(files)} pictures found is in the {part} split; "
                "move this file away for a split by seed"
            )
    return names


def _read_partition(path: Path) -> dict[str, Part | None]:
    part_of = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        words = line.split()
        if len(words) != 2 or words[1] not in PARTS_BY_NUMBER:
            raise LoraeError(f"{path}: line {number} is {line!r}, expected a file name and 0, 1 or 2")
        part_of[words[0]] = PARTS_BY_NUMBER[words[1]]
    return part_of
