"""The Python interface, imported on first use, so that `import lorae` and `lorae --help` do not import torch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorae.api.export import export_run as export_run
    from lorae.api.generation import interpolate as interpolate
    from lorae.api.generation import sample as sample
    from lorae.api.inspection import compare as compare
    from lorae.api.inspection import evaluate as evaluate
    from lorae.api.inspection import fid as fid
    from lorae.api.inspection import reconstruct as reconstruct
    from lorae.api.inspection import spectrum as spectrum
    from lorae.api.inspection import write_report as write_report
    from lorae.api.loading import dataset_of as dataset_of
    from lorae.api.loading import load as load
    from lorae.api.loading import load_data as load_data
    from lorae.api.loading import origin_of_argument as origin_of_argument
    from lorae.api.training import plan as plan
    from lorae.api.training import resume as resume
    from lorae.api.training import train as train
    from lorae.api.truncation import truncate as truncate
    from lorae.config.methods import list_methods as list_methods

_MODULES = {
    "lorae.api.export": ("export_run",),
    "lorae.api.generation": ("interpolate", "sample"),
    "lorae.api.inspection": ("compare", "evaluate", "fid", "reconstruct", "spectrum", "write_report"),
    "lorae.api.loading": ("dataset_of", "load", "load_data", "origin_of_argument"),
    "lorae.api.training": ("plan", "resume", "train"),
    "lorae.api.truncation": ("truncate",),
    "lorae.config.methods": ("list_methods",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
