"""Files of a fitted estimator: one safetensors file that needs no pickle, and ONNX graphs."""

import dataclasses
import json
from math import prod
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from lorae import __version__
from lorae.errors import LoraeError
from lorae.estimator.imputation import LinearImputation
from lorae.estimator.inputs import value_errors
from lorae.isolation import isolated
from lorae.models.graphs import KEY
from lorae.models.spec import ModelSpec
from lorae.runs.model_files import rebuild
from lorae.system.faults import reason_of
from lorae.system.files import write_atomically
from lorae.system.records import check_type, parse_record
from lorae.system.tensor_file import metadata_of, read_sealed, sealed

# Raised when a file of this version can no longer be read by earlier ones.
SCHEMA = 2  # 2: `handle_missing`, `warm_start`

MODEL, IMPUTATION = "model.", "imputation."
ARRAYS = ("_codes", "_centre", "explained_variance_", "singular_values_", "explained_variance_ratio_")
LATER = ("_seen",)  # arrays that files of schema 1 lack


class Fitted(TypedDict):
    """Fitted attributes that are plain values."""

    rank_: int
    curved_: bool
    score_: float | None
    pca_score_: float | None
    search_: dict[str, Any] | None
    history_: list[dict[str, Any]]
    threshold_: float
    n_features_in_: int
    _item_shape: list[int]
    _images: bool


PLAIN = tuple(Fitted.__annotations__)


class _About(TypedDict):
    kind: Literal["LoRAE"]
    schema: int
    parameters: dict[str, Any]
    fitted: Fitted
    spec: ModelSpec


class About(_About, total=False):
    """What the metadata of a file hold besides the arrays; `feature_names` for a table with names."""

    version: str
    feature_names: list[str]


class StorageMixin(BaseEstimator):  # type: ignore[misc]
    """A fitted estimator as files that others can read without executing them."""

    @isolated()
    def save(self, path: str | Path) -> Path:
        """Write the fitted estimator as one safetensors file, which replaces an earlier one at once.

        Parameters
        ----------
        path : str or Path
            The file, by convention `NAME.safetensors`.

        Returns
        -------
        path : Path

        Raises
        ------
        ValueError
            If a parameter has no value in JSON, such as a `random_state` that is a generator.

        See Also
        --------
        LoRAE.load : Read the file.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from lorae import LoRAE
        >>> model = LoRAE(rank=2, epochs=1).fit(load_iris().data)
        >>> LoRAE.load(model.save("iris.safetensors")).rank_   # doctest: +SKIP
        2
        """
        from safetensors.torch import save

        check_is_fitted(self)
        about = {
            "kind": "LoRAE",
            "schema": SCHEMA,
            "version": __version__,
            "parameters": {name: _json(name, value) for name, value in self.get_params(deep=False).items()},
            "fitted": {name: _json(name, getattr(self, name)) for name in PLAIN},
            "spec": dataclasses.asdict(self.model_.spec),
        }
        if hasattr(self, "feature_names_in_"):
            about["feature_names"] = self.feature_names_in_.tolist()
        tensors = {MODEL + name: value.contiguous().cpu() for name, value in self.model_.state_dict().items()}
        tensors |= {
            name: torch.from_numpy(np.ascontiguousarray(getattr(self, name)))
            for name in (*ARRAYS, *LATER)
            if getattr(self, name) is not None
        }
        imputation = {} if self._imputation is None else vars(self._imputation)
        tensors |= {
            IMPUTATION + name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in imputation.items()
        }
        with value_errors():
            write_atomically(Path(path), sealed(save(tensors, metadata={KEY: json.dumps(about)})))
        return Path(path)

    @classmethod
    @isolated()
    def load(cls, path: str | Path) -> Any:
        """Read a fitted estimator that `save` wrote; nothing in the file is executed.

        Parameters
        ----------
        path : str or Path
            The file.

        Returns
        -------
        estimator : LoRAE

        Raises
        ------
        ValueError
            If the file is missing, truncated, a pickle, or another that `save` did not write, in one line.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            content = read_sealed(Path(path))
            tensors = load(content)
            about = parse_record(metadata_of(content)[KEY], dict, KEY)
            check_type(about.get("schema"), int, "schema")
            if about["schema"] > SCHEMA:
                raise ValueError(f"schema {about['schema']}, of a later version of lorae; upgrade lorae")
            check_type(about, About, KEY)
            return _restored(cls, about, tensors)
        except OSError as error:
            raise ValueError(f"{path}: {reason_of(error)}") from None
        except (SafetensorError, LoraeError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ValueError(f"{path}: not a file that LoRAE.save wrote, or damaged ({reason_of(error)})") from None

    @isolated()
    def to_onnx(self, path: str | Path) -> Path:
        """Write `encoder.onnx`, from `items` to `codes`, and `decoder.onnx`, from `codes` to `items`.

        Parameters
        ----------
        path : str or Path
            The folder; files of an earlier call are replaced.

        Returns
        -------
        path : Path

        Raises
        ------
        ValueError
            If the packages of the extra `onnx` are missing; the message has the command that installs them.

        Notes
        -----
        The graphs have the scaling inside and take any number of rows. Vectors are float64, in their own units. Images
        are float32 (n, c, h, w) in [0, 1], which decoded ones may leave slightly. The graphs fill in no missing
        entries: an item with NaN has codes of NaN, so items go through `impute` first.
        """
        from lorae.models.graphs import as_onnx, model_graphs, require_onnx

        check_is_fitted(self)
        about = {"version": __version__, "method": "LoRAE", "spec": dataclasses.asdict(self.model_.spec)}
        with value_errors():
            require_onnx("to_onnx: got a call")
            for name, graph in model_graphs(self.model_, as_onnx, json.dumps(about)).items():
                write_atomically(Path(path) / f"{name}.onnx", graph)
        return Path(path)


def _json(name: str, value: Any) -> Any:
    """Return a plain value of JSON."""
    value = value.item() if isinstance(value, np.generic) else value
    try:
        json.dumps(value)
    except TypeError:
        raise ValueError(
            f"{name}: got {value!r}, expected a number, a word or None to save; set another by set_params"
        ) from None
    return value


def _check_arrays(estimator: Any) -> None:
    """Raise ValueError for arrays whose shapes do not fit together."""
    shape = estimator._item_shape
    if shape != estimator.model_.spec.shape or estimator.n_features_in_ != prod(shape):
        raise ValueError("items of several shapes")
    codes, spectrum = estimator._codes, {getattr(estimator, name).shape for name in ARRAYS[2:]}
    widths = codes.shape[1:], estimator._centre.size
    if widths != ((estimator.model_.spec.latent_dim,), estimator.n_features_in_) or len(spectrum) > 1:
        raise ValueError("arrays of several widths")


def _restored(cls: type, about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    """Return the estimator of the content of a file."""
    estimator = cls(**about["parameters"])
    for name in PLAIN:
        setattr(estimator, name, about["fitted"][name])
    estimator._item_shape = tuple(estimator._item_shape)
    for name in (*ARRAYS, *(name for name in LATER if name in tensors)):
        setattr(estimator, name, tensors[name].numpy())
    state, imputation = (
        {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        for prefix in (MODEL, IMPUTATION)
    )
    estimator.model_ = rebuild(about["spec"], state, dtype=None if estimator._images else torch.float64)
    _check_arrays(estimator)
    parts = {name: value.numpy() for name, value in imputation.items()}
    estimator._imputation = LinearImputation(**parts) if parts else None
    if "feature_names" in about:
        estimator.feature_names_in_ = np.asarray(about["feature_names"], object)
    return estimator
