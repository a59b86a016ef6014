"""Autoencoders that find their own latent dimension.

>>> import lorae
>>> run = lorae.train("mnist", method="lorae", penalty=1e-4, epochs=3)   # doctest: +SKIP
>>> model = lorae.load(run)                                              # doctest: +SKIP
"""

from typing import Any

from lorae.errors import LoraeError

__version__ = "0.1.0"

# None of these may be the name of a submodule: importing it would put the module in the function's place.
_API = (
    "list_methods",
    "load",
    "load_data",
    "plan",
    "reconstruct",
    "resume",
    "spectrum",
    "train",
    "write_report",
)

__all__ = ["LoraeError", "__version__", *_API]


def __getattr__(name: str) -> Any:
    # On first use, so that `import lorae` and `lorae --help` are quick.
    if name in _API:
        from lorae import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
