"""Data for the smoke run: noise where MNIST is looked for, and a tar of noise for faces."""

import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from lorae.config.datasets import DATASETS
from lorae.data.cache import DatasetBuilder, DatasetInfo, cached, content_key
from lorae.data.mnist import SOURCES
from lorae.data.preprocessing import Preparation


def pretend(work: Path) -> None:
    """Prepared noise in the cache of LORAE_CACHE under MNIST's key, and WORK/faces.tar."""
    generator = np.random.default_rng(0)

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        for part, count in (("train", 320), ("test", 300)):
            out = workspace.create(part, (count, 1, 32, 32), np.uint8)  # type: ignore[arg-type]
            out[:] = generator.integers(0, 256, out.shape)
            workspace.set_labels(part, np.arange(count) % 10)  # type: ignore[arg-type]
        return DatasetInfo("noise")

    md5 = json.dumps(SOURCES["mnist"].md5, sort_keys=True)
    cached("mnist", content_key("mnist", md5, **vars(Preparation(DATASETS["mnist"].size, 1, None))), prepare)
    with tarfile.open(work / "faces.tar", "w") as archive:
        for number in range(200):
            file = io.BytesIO()
            Image.fromarray(generator.integers(0, 256, (109, 89, 3)).astype(np.uint8)).save(file, "jpeg")
            entry = tarfile.TarInfo(f"celeba-half/img_align_celeba/{number:06}.jpg")
            entry.size = file.tell()
            file.seek(0)
            archive.addfile(entry, file)


if __name__ == "__main__":
    pretend(Path(sys.argv[1]))
