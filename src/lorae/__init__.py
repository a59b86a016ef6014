"""Autoencoders that find their own latent dimension.

>>> import lorae
>>> run = lorae.train("mnist", method="lorae", penalty=1e-4, epochs=3)   # doctest: +SKIP
>>> model = lorae.load(run)                                              # doctest: +SKIP
"""

import importlib
from typing import Any

from lorae.errors import DivergedError, LoraeError, LoraeWarning

__version__ = "0.1.0"

# Public function -> module; none may be the name of a submodule, which an import would put in the function's place.
_API = {
    "Autoencoder": "models",
    "LoRAE": "estimator",
    "compare": "api",
    "decode": "api",
    "encode": "api",
    "evaluate": "api",
    "explore": "explorer",
    "export_run": "api",
    "fid": "api",
    "from_pretrained": "api",
    "interpolate": "api",
    "list_methods": "api",
    "load": "api",
    "load_data": "api",
    "plan": "api",
    "push_to_hub": "api",
    "reconstruct": "api",
    "resume": "api",
    "sample": "api",
    "spectrum": "api",
    "sweep": "sweeps",
    "train": "api",
    "truncate": "api",
    "write_report": "api",
}

__all__ = ["DivergedError", "LoraeError", "LoraeWarning", "__version__", "nn", *_API]


def __getattr__(name: str) -> Any:
    # On first use, so that `import lorae` and `lorae --help` are quick.
    if name in _API:
        return getattr(importlib.import_module(f"lorae.{_API[name]}"), name)
    if name == "nn":
        return importlib.import_module("lorae.nn")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
