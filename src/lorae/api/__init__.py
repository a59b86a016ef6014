"""Functions that Python users call: train, load, measure, draw, truncate and export runs.

Imported on first use, so that `import lorae` and `lorae --help` do not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorae.api.export import export_run
    from lorae.api.inspection import compare, evaluate, fid, interpolate, reconstruct, sample, spectrum, write_report
    from lorae.api.loading import dataset_of, load, load_data, origin_of_argument
    from lorae.api.training import plan, resume, train
    from lorae.api.truncation import truncate
    from lorae.config.methods import list_methods

_MODULES = {
    "compare": "lorae.api.inspection",
    "dataset_of": "lorae.api.loading",
    "evaluate": "lorae.api.inspection",
    "export_run": "lorae.api.export",
    "fid": "lorae.api.inspection",
    "interpolate": "lorae.api.inspection",
    "list_methods": "lorae.config.methods",
    "load": "lorae.api.loading",
    "load_data": "lorae.api.loading",
    "origin_of_argument": "lorae.api.loading",
    "plan": "lorae.api.training",
    "reconstruct": "lorae.api.inspection",
    "resume": "lorae.api.training",
    "sample": "lorae.api.inspection",
    "spectrum": "lorae.api.inspection",
    "train": "lorae.api.training",
    "truncate": "lorae.api.truncation",
    "write_report": "lorae.api.inspection",
}

__all__ = [
    "compare",
    "dataset_of",
    "evaluate",
    "export_run",
    "fid",
    "interpolate",
    "list_methods",
    "load",
    "load_data",
    "origin_of_argument",
    "plan",
    "reconstruct",
    "resume",
    "sample",
    "spectrum",
    "train",
    "truncate",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
