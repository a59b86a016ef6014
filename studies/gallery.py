"""Run the scripts of the gallery, and keep what they draw and print: `make gallery`.

Each script of examples/gallery/ runs alone in an empty folder. Its picture becomes docs/images/gallery/NAME.png, which
holds the hash of the script that drew it, so that a test notices a script that was changed afterwards; what it prints
becomes the section `output` of docs/gallery/NAME.md.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from studies import common

SCRIPTS = common.ROOT / "examples" / "gallery"
# Key of the hash in the picture's text.
HASH = "script-sha256"
# Bytes of a picture: all of the gallery then are less than a page of most sites.
LARGEST = 90_000


def names() -> list[str]:
    """Return the names of all scripts."""
    return sorted(path.stem for path in SCRIPTS.glob("*.py"))


def script_hash(name: str) -> str:
    """Return the hash of a script."""
    return hashlib.sha256((SCRIPTS / f"{name}.py").read_bytes()).hexdigest()


def picture_path(name: str) -> Path:
    """Return the path of a script's picture."""
    return common.ROOT / "docs" / "images" / "gallery" / f"{name}.png"


def run(name: str) -> None:
    """Run one script, and write its picture and its output."""
    before = script_hash(name)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(SCRIPTS / "matplotlibrc", folder)
        source = str(common.ROOT / "src")  # the package of this checkout, whichever is installed
        environment = os.environ | {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PYTHONPATH": source}
        command = [sys.executable, str(SCRIPTS / f"{name}.py")]
        printed = subprocess.run(command, cwd=folder, env=environment, check=True, text=True, stdout=subprocess.PIPE)
        save(Path(folder) / f"{name}.png", picture_path(name), before)
    common.write_section(f"docs/gallery/{name}.md", "output", f"```text\n{printed.stdout.rstrip()}\n```")


def save(drawn: Path, target: Path, digest: str) -> None:
    """Save a picture with the hash of its script; one that is large, with 256 colors."""
    about = PngInfo()
    about.add_text(HASH, digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(drawn) as picture:
        full = picture.convert("RGB")
        full.save(target, optimize=True, pnginfo=about)
        if target.stat().st_size > LARGEST:
            full.quantize(256).save(target, optimize=True, pnginfo=about)


def main() -> None:
    """Run the named scripts, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names())}")
    for name in parser.parse_args().names or names():
        print(name, flush=True)
        run(name)


if __name__ == "__main__":
    main()
