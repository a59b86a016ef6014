"""State shared by the measures of an evaluation: latents, densities, and features of real and generated items."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from lorae.config.evaluation_settings import EvaluationSettings
from lorae.data import Dataset, Split
from lorae.errors import DivergedError, LoraeError
from lorae.evaluation.classification import TrainingCheckpoints
from lorae.evaluation.shared_work import Advance, SharedWork
from lorae.features import FeatureExtractor, build_extractor
from lorae.models.autoencoder import Autoencoder
from lorae.plotting.images import as_items
from lorae.runs.run import Run
from lorae.samplers import SAMPLERS, Density, fit_density, standard_normal
from lorae.system.faults import tolerated
from lorae.system.hardware import set_memory_format
from lorae.system.processes import ALONE, Processes
from lorae.system.stored_items import take

# Of items that are too many for memory, densities, ranks, classifiers and distances take a sample: latents of so many
# entries, 100 MB, and the features of so many items, as is usual for a FID.
MOST_LATENTS, MOST_FEATURES = 24_000_000, 50_000

# Number of generated items kept for the figure.
PICTURED = 64

Items = NDArray[Any]
Features = NDArray[np.float32]


@dataclass(eq=False)
class EvaluationContext:
    """A trained model, its data and the settings of an evaluation; everything is computed once, on first use.

    Long parts have a line in the progress bar `bar`. `trainings` keeps the trainings of the current measure.
    """

    run: Run
    model: Autoencoder
    dataset: Dataset
    settings: EvaluationSettings
    bar: Progress
    processes: Processes = ALONE
    whole: Dataset = field(init=False)
    trainings: TrainingCheckpoints = field(default_factory=lambda: TrainingCheckpoints(None))
    pictured: dict[str, Items] = field(default_factory=dict)
    _kept: dict[tuple[Any, ...], Features] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.whole, width = self.dataset, self.model.spec.latent_dim
        train, test = (measured(part, width) for part in (self.whole.train, self.whole.test))
        self.dataset = dataclasses.replace(self.whole, train=train, test=test)

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], Any]]:
        """Show a line in the progress bar while the block runs; yield the function that advances it."""
        task = self.bar.add_task(title, total=total, note="")
        try:
            yield lambda steps: self.bar.advance(task, steps)
        finally:
            self.bar.remove_task(task)

    # Latents and densities

    def latents(self, split: str, *, before_matrix: bool = False) -> NDArray[np.float32]:
        """Return latents of the `train` or `test` split, float32 (n, latent_dim), or the encoder's outputs before M."""
        key = ("latents", split, before_matrix)
        if key not in self._kept:
            name, inputs = "encoder outputs" if before_matrix else "latents", self.split(split).inputs
            with self.progress(f"encode {split} items", len(inputs)) as advance:
                self._kept[key] = self.work.rows(name, inputs, advance)
        return self._kept[key]

    def density(self, sampler: str) -> Density:
        """Return the fitted density, from the run folder if it was fitted with the same settings before."""
        width, split = self.model.spec.latent_dim, self.settings.fit_on
        return fitted_density(self.run, sampler, self.settings, width, lambda: self.latents(split))

    # Items and their features

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """Network whose features are compared."""
        assert self.settings.features is not None
        return build_extractor(self.settings.features, self.settings.features_weights)

    @cached_property
    def reference(self) -> Features:
        """Features of the whole reference split."""
        return self._features_of(self.compared_items, "reference features")

    @cached_property
    def other_split(self) -> Features:
        """Features of as many items of the other split as there are reference items, the floor of every distance."""
        name = "train" if self.settings.reference == "test" else "test"
        return self._features_of(self.other_items, f"{name} features")

    @cached_property
    def reconstructed(self) -> Features:
        """Features of the reconstructions of the reference split."""
        return self._features_of(self.compared_items, "reconstructions", change="reconstructed")

    def generated(self, sampler: str, draw: int) -> Features:
        """Return features of `n` generated items, float32 (n, d); the first items are kept in `pictured`."""
        key = ("generated", sampler, draw)
        if key not in self._kept:
            latents = self.density(sampler).sample(self.settings.n, draw_generator(self.settings.seed, draw))
            self._kept[key] = self.decoded(latents, f"{sampler}, draw {draw + 1}", sampler)
        return self._kept[key]

    def decoded(self, latents: NDArray[Any], title: str, keep_as: str | None = None) -> Features:
        """Return features of decoded latents (n, latent_dim), float32 (n, d); `pictured[keep_as]` has the first."""
        return self._features_of(latents, title, keep_as, change="decoded")

    def split(self, name: str) -> Split:
        """Return the `train` or `test` split."""
        return self.dataset.test if name == "test" else self.dataset.train

    def errors(self) -> NDArray[np.float64]:
        """Return the mean squared error of each item of the test split (n,)."""
        inputs = self.whole.test.inputs
        with self.progress("errors of test items", len(inputs)) as advance:
            return self.work.rows("errors", inputs, advance)

    @cached_property
    def work(self) -> SharedWork:
        """What all processes compute for this evaluation."""
        model = self.model
        functions = {
            "latents": _at_once(model.encode),
            "encoder outputs": _at_once(model.encoder_outputs),
            "errors": _at_once(model.squared_errors),
            "given": self._features_of_items,
            "reconstructed": lambda x, advance: self._features_of_items(self._made(model.reconstruct(x)), advance),
            "decoded": lambda z, advance: self._features_of_items(self._made(model.decode(z)), advance),
        }
        known = {name: self.split(name).inputs for name in ("train", "test")}
        # Views of items in files, too, which cannot be sent.
        known |= {"whole test": self.whole.test.inputs, "compared": self.compared_items, "others": self.other_items}
        return SharedWork(functions, known, self.processes)

    def described(self, name: str) -> str:
        """Return the name of a split, and if only some of its items are measured, how many."""
        count, total = len(self.split(name)), len(getattr(self.whole, name))
        return name if count == total else f"{name}, {count} of {total} evenly spaced"

    @cached_property
    def compared_items(self) -> Items:
        """Return the items of the reference split of which features are computed, evenly spaced ones of many."""
        split = self.split(self.settings.reference)
        inputs: Items = spread(split, MOST_FEATURES).inputs if split.stored else split.inputs
        return inputs

    @cached_property
    def other_items(self) -> Items:
        """Return as many items of the other split."""
        items = self.split("train" if self.settings.reference == "test" else "test").inputs
        chosen = np.random.default_rng(self.settings.seed).permutation(len(items))[: len(self.compared_items)]
        others: Items = take(items, np.sort(chosen))
        return others

    def _features_of(self, inputs: Items, title: str, keep_as: str | None = None, change: str = "given") -> Features:
        """Return features of items, or of the items that `change` makes of the inputs, see `work`."""
        if keep_as is not None and keep_as not in self.pictured:
            self.pictured[keep_as] = self._made(self.model.decode(inputs[:PICTURED]))
        with self.progress(title, len(inputs)) as advance:
            return self.work.rows(change, inputs, advance)

    def _made(self, items: Items) -> Items:
        """Return items that a model has made, as items of the data are."""
        return as_items(_finite(items), images=self.dataset.kind == "images")

    def _features_of_items(self, items: Items, advance: Advance) -> Features:
        return self.extractor(self._comparable(items), device=self.settings.device, advance=advance)

    def _comparable(self, items: Items) -> Items:
        """Return vectors with standardized columns, so that no unit outweighs the others; images are unchanged."""
        if self.dataset.kind == "images":
            return items
        scaling = self.model.scaling
        standardized: NDArray[np.float64] = (items - scaling.shift.cpu().numpy()) / scaling.scale.cpu().numpy()
        as_features: Items = standardized.astype(np.float32)
        return as_features


def fitted_density(
    run: Run, sampler: str, settings: EvaluationSettings, latent_dim: int, latents: Callable[[], NDArray[Any]]
) -> Density:
    """Return a density of the run, read from `RUN/samplers/`, or fitted to the result of `latents` and kept there."""
    kept = stored_density(run, sampler, settings, latent_dim)
    if kept is not None:
        return kept
    assert settings.components is not None
    if sampler == "prior":  # needs only the width
        density = standard_normal(latent_dim)
    else:
        density = fit_density(sampler, latents(), components=settings.components, seed=settings.seed)
    with tolerated("sampler: it is fitted anew each time"):
        density.save(_density_path(run, sampler, settings))
    return density


def stored_density(run: Run, sampler: str, settings: EvaluationSettings, latent_dim: int) -> Density | None:
    """Return the density that `fitted_density` has kept in the run folder; None if there is none."""
    path = _density_path(run, sampler, settings)
    if not path.exists():
        return None
    kept = Density.load(path)
    width = len(kept.subspace.origin)
    if width != latent_dim:
        raise LoraeError(f"{path}: has latents of width {width}, expected {latent_dim}; delete it to fit it anew")
    return kept


def _density_path(run: Run, sampler: str, settings: EvaluationSettings) -> Path:
    parts = [sampler, settings.fit_on]
    if SAMPLERS[sampler].takes_components:
        parts += [str(settings.components), f"seed{settings.seed}"]
    return run.path / "samplers" / f"{'-'.join(parts)}.npz"


def draw_generator(seed: int, draw: int) -> np.random.Generator:
    """Return the generator of one draw, independent of those of the other draws."""
    return np.random.default_rng([seed, draw])


def measured(split: Split, latent_dim: int) -> Split:
    """Return a split, or of one in a file as many evenly spaced items as have `MOST_LATENTS` entries of latents."""
    return spread(split, MOST_LATENTS // latent_dim) if split.stored else split


def spread(split: Split, most: int) -> Split:
    """Return evenly spaced items of a split, at most so many."""
    if len(split) <= most:
        return split
    return split.at(np.linspace(0, len(split) - 1, max(2, most)).astype(np.int64))


def _finite(made: Items) -> Items:
    """Return what a model made; DivergedError for values that no image of bytes shows any more."""
    if not np.isfinite(made).all():
        raise DivergedError("model: made values that are not finite, expected finite ones; it has diverged")
    return made


def _at_once(function: Callable[[Items], Items]) -> Callable[[Items, Advance], Items]:
    """Return a function of items that says at its end how many are done."""

    def of_items(items: Items, advance: Advance) -> Items:
        result = function(items)
        advance(len(items))
        return result

    return of_items


def on_device(model: Autoencoder, device: str) -> Autoencoder:
    """Move a model to a device, on a CPU in channels-last layout, which is faster for convolutions there."""
    model = model.to(device)
    if device == "cpu":
        set_memory_format(model, torch.channels_last)
    return model
