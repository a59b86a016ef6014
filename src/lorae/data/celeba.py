"""CelebA's aligned faces, full or half size, in the official layout."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from lorae.config.data_settings import DataSettings
from lorae.config.datasets import DATASETS
from lorae.data.cache import PARTS, Part
from lorae.data.dataset import Dataset
from lorae.data.folder import Names, load_store, seeded_names
from lorae.data.image_files import left_out_files, open_store
from lorae.data.splits import refuse_seeded_split
from lorae.errors import LoraeError
from lorae.system.files import LARGEST_RECORD, home_expanded, read_file

PICTURES = "img_align_celeba"
PARTITION = "list_eval_partition.txt"
LAYOUT = f"expected {PICTURES}/ or {PICTURES}.zip and, for the official split, {PARTITION}"
PARTS_BY_NUMBER: dict[str, Part | None] = {"0": "train", "1": None, "2": "test"}


def load_celeba(settings: DataSettings) -> Dataset:
    """Load CelebA's faces with the official split or, without its list, a seeded one."""
    if settings.data_root is None:
        raise LoraeError(
            f"data_root: celeba needs the folder of its files, pass data_root=FOLDER; {LAYOUT}",
            settings={"data_root": "FOLDER"},
        )
    place, pictures = _find(home_expanded(settings.data_root))
    with open_store(pictures) as store:
        names = _split(store.names, place, settings)
        dataset = load_store("celeba", store, names, None, settings, DATASETS["celeba"], left_out_files(store))
    return replace(dataset, source=f"CelebA in {pictures}")


def _find(root: Path) -> tuple[Path, Path]:
    """Return the folder in the official layout, and the folder or zip file of pictures in it."""
    places = [root, root / "celeba", root / "celeba-half"]
    for pictures in (place / name for place in places for name in (PICTURES, f"{PICTURES}.zip")):
        if pictures.exists():
            return pictures.parent, pictures
    searched = ", ".join(str(place) for place in places)
    raise LoraeError(f"data_root: found no celeba in {searched}; {LAYOUT}")


def _split(files: list[str], place: Path, settings: DataSettings) -> Names:
    partition = place / PARTITION
    if not partition.is_file():
        return seeded_names(files, settings)
    refuse_seeded_split(settings, str(partition))
    part_of = _read_partition(partition)
    names: Names = {part: [file for file in files if part_of.get(PurePosixPath(file).name) == part] for part in PARTS}
    for part, chosen in names.items():
        if not chosen:
            raise LoraeError(
                f"{partition}: none of the {len(files)} pictures found is in the {part} split; "
                "move this file away for a split by seed"
            )
    return names


def _read_partition(path: Path) -> dict[str, Part | None]:
    try:
        text = read_file(path, LARGEST_RECORD).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LoraeError(f"{path}: cannot be read as UTF-8 text ({error}); {LAYOUT}") from None
    part_of = {}
    for number, line in enumerate(text.splitlines(), 1):
        match line.split():
            case [name, ("0" | "1" | "2") as digit]:
                part_of[name] = PARTS_BY_NUMBER[digit]
            case [_, *_]:
                raise LoraeError(f"{path}: line {number} is {line!r}, expected a file name and 0, 1 or 2")
    return part_of
