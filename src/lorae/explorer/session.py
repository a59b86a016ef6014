"""What the explorer computes from a run: typed, and usable without a server."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.methods import get_method
from lorae.data.items import picture_for_model
from lorae.errors import NotApplicableError
from lorae.estimator.inputs import weighted_quantile
from lorae.estimator.transformer import CONTAMINATION
from lorae.evaluation.context import draw_generator, stored_density
from lorae.explorer.background import Background
from lorae.explorer.canonical import Array
from lorae.explorer.content import Content, Points, read_content
from lorae.models.autoencoder import Autoencoder
from lorae.models.scaling import ROUNDING
from lorae.plotting.images import as_items
from lorae.runs.run import Run
from lorae.samplers import SAMPLERS, Density, fit_density, standard_normal
from lorae.samplers.interpolation import linear_path, spherical_path

Items = NDArray[Any]

# Test items on which the error of a truncation is measured: decoded in a tenth of a second on two cores.
MEASURED = 64
# Those of them that are shown.
SHOWN = 8
# Training items whose errors an item is compared with, at most.
COMPARED = 1000
# Items decoded at a time in the background, so that a request never waits long for the model.
CHUNK = 50
# Sides of a picture that is uploaded: those of a photograph of 16 megapixels, decoded in a tenth of a second.
MOST_PIXELS = 16_000_000

PATHS = ("linear", "spherical")


@dataclass(frozen=True)
class Scored:
    """An item with its code, reconstruction and error.

    error: mean squared error of its entries, images in [0, 1], others in standardized units
    share: of the compared items with a smaller error; anomaly: error relative to their quantile, as
        `LoRAE.anomaly_score`; both None until the items are measured
    """

    item: Items | None
    code: Array
    reconstruction: Items
    error: float | None
    share: float | None
    anomaly: float | None


@dataclass(frozen=True)
class Truncated:
    """The first `rank` axes: their share of the variance, the error on some test items, and a few of these decoded."""

    rank: int
    variance: float
    error: float | None
    items: Items


@dataclass(frozen=True)
class Neighbors:
    """Training items nearest to a latent: their rows, distances and, where they are there, the items."""

    rows: NDArray[np.int64]
    distances: Array
    items: Items


class Session:
    """A run that is looked at. Methods may be called from several threads; each takes the model for itself.

    Raises LoraeError for a damaged file, also of a density that `lorae sample` has stored, and as `read_content`.

    >>> session = Session("runs/demo")                    # doctest: +SKIP
    >>> session.decode(session.content.start.codes[:1])   # doctest: +SKIP
    """

    def __init__(self, run: "str | Path | Run", data: Any = None) -> None:
        self.content: Content = read_content(run, data)
        self._lock = threading.Lock()
        self._closed = False
        self._decoding = threading.Lock()
        # Read now, since a damaged one is to end the command.
        self._stored = {name: self._stored_density(name) for name in self.samplers}
        self._truncated: dict[int, Truncated] = {}
        self._warm_up()
        jobs: dict[str, Any] = {name: partial(self._fit, name) for name in self.samplers}
        jobs["errors"] = self._errors
        # Densities with components last: they take up to half a minute on wide latents.
        slow = [name for name in self.samplers if SAMPLERS[name].takes_components]
        self.background = Background({name: jobs[name] for name in sorted(jobs, key=slow.__contains__)})

    def close(self) -> None:
        """Let no thread use the model any more: one that is within torch when its process ends would abort it."""
        self._closed = True
        with self._lock:  # until the last one is done
            pass

    @contextlib.contextmanager
    def _model(self) -> Iterator[Autoencoder]:
        """Take the model, which one thread at a time uses; RuntimeError after `close`."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the session is closed")
            yield self.content.model

    # What is there

    @property
    def samplers(self) -> tuple[str, ...]:
        """Names of the densities that can be sampled: the prior alone for a generator."""
        return tuple(SAMPLERS) if self.content.encodes else ("prior",)

    @cached_property
    def settings(self) -> EvaluationSettings:
        """Settings of the densities: the defaults of data and method, as `lorae sample` has them."""
        run = self.content.run
        name = str(run.fact("data", "name"))
        return EvaluationSettings().resolve(name, self.content.kind, run.settings.method)

    def reason_against(self, view: str) -> str | None:
        """Return why a view does not apply to the run; None if it does."""
        content, method = self.content, self.content.run.settings.method
        if not content.encodes and view in ("spectrum", "latents", "own"):
            return f"The method {method} only generates: it has no encoder, which this view needs."
        if not content.axes.count and view != "own":
            return "All items have the same latent: the model has collapsed, and there is nothing to move along."
        return None

    # Decoding

    def decode(self, codes: Array) -> Items:
        """Return the items of codes (n, s) on the first s axes: uint8 images, or numbers in their own units."""
        return self.decode_latents(self.content.axes.latents(codes))

    def decode_latents(self, latents: NDArray[np.float32]) -> Items:
        """Return the items of latents (n, l)."""
        return self._shown(self._raw(latents))

    def item(self, points: Points, index: int) -> Items:
        """Return an item of a split, decoded from its code where it is not there."""
        if points.items is None:
            found: Items = self.decode(points.codes[index : index + 1])[0]
            return found
        return np.asarray(points.items[index])

    def traversal(self, code: Array, axis: int, steps: int, deviations: float) -> Items:
        """Return items of a code (r,) whose coordinate on an axis goes over so many deviations on both sides of 0."""
        codes = np.repeat(code[None], steps, axis=0)
        codes[:, axis] = np.linspace(-deviations, deviations, steps) * self.content.axes.deviations[axis]
        return self.decode(codes)

    def path(self, first: int, second: int, kind: str, steps: int) -> Items:
        """Return the decoded items on a path between two starting points, ends included."""
        ends = self.content.start.codes[first], self.content.start.codes[second]
        make = linear_path if kind == "linear" else spherical_path  # about 0, the mean of the codes
        return self.decode(make(*ends, steps))

    # Samples

    def draw(self, sampler: str, n: int, seed: int) -> NDArray[np.float32] | None:
        """Return n latents drawn from a density by a seed; None while it is being fitted."""
        density: Density | None = self.background.result(sampler)
        return None if density is None else density.sample(n, draw_generator(seed, 0))

    def nearest(self, latent: NDArray[np.float32], count: int) -> Neighbors:
        """Return the training items whose codes are nearest to that of a latent (l,)."""
        train = self.content.train
        if train is None:
            raise NotApplicableError("without an encoder, training items have no codes to be near to")
        distances = np.linalg.norm(train.codes - self.content.axes.codes(latent[None]), axis=1)
        rows = np.argsort(distances, kind="stable")[:count]
        items = self.decode(train.codes[rows]) if train.items is None else np.asarray(train.items[rows])
        return Neighbors(rows, distances[rows], items)

    # Truncation

    def truncated(self, rank: int) -> Truncated:
        """Return the truncation to the first axes, 0 for the mean alone."""
        if rank not in self._truncated:
            start = self.content.start
            raw = self._raw(self.content.axes.latents(start.codes[:MEASURED, :rank]))
            error = None
            if start.items is not None:
                error = float(self._errors_of(np.asarray(start.items[:MEASURED]), raw).mean())
            shown = self._shown(raw[:SHOWN].copy())  # no view, which would keep all of them
            self._truncated[rank] = Truncated(rank, self.content.axes.variance_kept(rank), error, shown)
        return self._truncated[rank]

    # Items of the user and of the data

    def picture(self, content: bytes, *, drawn: bool) -> Items:
        """Return an image file's content as an item of the run.

        drawn: on the page, so that its values have the range of bytes, whatever that of the data is

        Raises LoraeError, and the errors of Pillow and ValueError for what is no picture that fits.
        """
        run, shape = self.content.run, self.content.model.spec.shape
        limits = None if drawn else run.settings.value_range
        with self._decoding:  # one at a time: the pixels of a small file can take 64 MB
            image: Items = picture_for_model(run.settings, shape, content, limits, MOST_PIXELS)[0]
        return image

    def scored(self, item: Items) -> Scored:
        """Return an item with its code, reconstruction and error."""
        with self._model() as model:
            latent = model.encode(item[None])
        code = self.content.axes.codes(latent)[0]
        raw = self._raw(latent)
        error, made = float(self._errors_of(item[None], raw)[0]), self._shown(raw)[0]
        compared = self.background.result("errors")
        if compared is None or not len(compared):
            return Scored(item, code, made, error, None, None)
        threshold = max(weighted_quantile(compared, 1 - CONTAMINATION, None), ROUNDING**2)
        return Scored(item, code, made, error, float((compared < error).mean()), error / threshold)

    # Parts

    def _warm_up(self) -> None:
        """Pass one item through the networks: the first pass of a process takes tenths of a second more than others."""
        made = self.decode_latents(np.zeros((1, self.content.model.spec.latent_dim), np.float32))
        if self.content.encodes:
            self.content.model.encode(made)

    def _raw(self, latents: NDArray[np.float32]) -> Items:
        """Return decoded items, images as floats."""
        with self._model() as model:
            made: Items = model.decode(latents)
        return made

    def _shown(self, raw: Items) -> Items:
        images = self.content.model.spec.images
        return as_items(np.nan_to_num(raw) if images else raw, images=images)

    def _errors_of(self, items: Items, raw: Items) -> Array:
        """Return the mean squared error of each item (n,), in the units of `Autoencoder.squared_errors`."""
        scale = 255.0 if self.content.kind == "images" else self.content.model.scaling.scale.cpu().numpy()
        made = raw * 255.0 if self.content.kind == "images" else raw
        errors: Array = np.square((items.astype(np.float64) - made) / scale).reshape(len(items), -1).mean(axis=1)
        return errors

    def _errors(self) -> Array:
        """Return errors of training items, or of test items where those are not there."""
        train, start = self.content.train, self.content.start
        present = [points for points in (train, start) if points is not None and points.items is not None]
        items = present[0].items if present else None
        if items is None:
            return np.zeros(0)
        items = items[:: max(1, -(-len(items) // COMPARED))]
        parts = []
        for first in range(0, len(items), CHUNK):
            with self._model() as model:
                parts.append(model.squared_errors(np.asarray(items[first : first + CHUNK])))
        return np.concatenate(parts)

    def _stored_density(self, sampler: str) -> Density | None:
        width = self.content.model.spec.latent_dim
        if sampler == "prior":  # needs no fit
            return standard_normal(width)
        return stored_density(self.content.run, sampler, self.settings, width)

    def _fit(self, sampler: str) -> Density:
        stored = self._stored[sampler]
        if stored is not None:
            return stored
        latents, components = self.content.latents, self.settings.components
        assert latents is not None
        assert components is not None
        return fit_density(sampler, latents, components=components, seed=self.settings.seed)

    @property
    def trained_towards_prior(self) -> bool:
        """Whether the method trains its latents towards the prior."""
        return get_method(self.content.run.settings.method).prior
