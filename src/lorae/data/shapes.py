"""Synthetic pictures of one shape, of known factors and intrinsic dimension."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.config.data_settings import DataSettings
from lorae.config.datasets import DATASETS
from lorae.data.cache import PARTS, DatasetBuilder, DatasetInfo, cached, content_key
from lorae.data.dataset import Dataset
from lorae.errors import LoraeError, unknown_name

Floats = NDArray[np.float64]

COUNTS = {"train": 10_000, "test": 2_000}
ROWS = 512

# Smallest and largest value. Positions and sizes are shares of the side; `size` is the radius of the circumscribed
# circle, which stays inside the picture at every position.
RANGES = {
    "x": (0.28, 0.72),
    "y": (0.28, 0.72),
    "size": (0.12, 0.25),
    "red": (0.2, 1.0),
    "green": (0.2, 1.0),
    "blue": (0.2, 1.0),
    "background": (0.0, 0.15),  # darker than any shape, so that none vanishes
}
# Values of factors that do not vary; the middle of the range for others.
FIXED = {"background": 0.0}
KINDS = ("disc", "square", "triangle")
# The background was added later; leaving it out keeps earlier pictures and caches.
COLOR_FACTORS = ("x", "y", "size", "red", "green", "blue", "kind")
ALL_FACTORS = (*COLOR_FACTORS, "background")
GRAY_FACTORS = ("x", "y", "size")
# Factors that vary by default, and those that can, by data set.
FACTORS = {"shapes": (COLOR_FACTORS, ALL_FACTORS), "shapes-grey": (GRAY_FACTORS, GRAY_FACTORS)}


def load_shapes(name: str, settings: DataSettings) -> Dataset:
    """Load colored shapes, labelled by their kind if it varies, or white discs."""
    default, allowed = FACTORS[name]
    channels = DATASETS[name].channels
    assert channels is not None
    if settings.crop is not None:
        raise LoraeError(
            f"crop: got {settings.crop}, but {name} are drawn at their final size; pass size=N", settings={"size": "N"}
        )
    if settings.test_fraction != DataSettings.test_fraction:
        raise LoraeError(f"test_fraction: got {settings.test_fraction}, but {name} have a fixed number of test items")
    if settings.channels not in (None, channels):
        raise LoraeError(f"channels: got {settings.channels}, expected {channels} for {name}")
    factors = _checked_factors(default if settings.factors is None else tuple(settings.factors), allowed)
    size = settings.size or DATASETS[name].size
    seed = settings.split_seed
    key = content_key(name, "generated", factors=sorted(factors), size=size, seed=seed, counts=COUNTS)

    def prepare(workspace: DatasetBuilder) -> DatasetInfo:
        values = sample_factors(factors, sum(COUNTS.values()), seed)
        first = 0
        for part in PARTS:
            chosen = {factor: column[first : first + COUNTS[part]] for factor, column in values.items()}
            first += COUNTS[part]
            draw = partial(_drawn, chosen, size, channels)
            workspace.fill(part, (COUNTS[part], channels, size, size), np.uint8, draw, f"draw {part}")
            if "kind" in chosen:
                workspace.set_labels(part, chosen["kind"])
        return DatasetInfo(f"generated, seed {seed}", intrinsic_dimension=len(set(factors) - {"kind"}))

    return cached(name, key, prepare)[0]


def sample_factors(names: Iterable[str], count: int, seed: int) -> dict[str, NDArray[Any]]:
    """Draw random values of factors.

    names: some of `x`, `y`, `size`, `red`, `green`, `blue`, `kind`, `background`

    Returns arrays (count,): float64 uniform in its range, int64 for `kind`. Raises LoraeError for unknown factors.
    """
    wanted = _checked_factors(tuple(names), ALL_FACTORS)
    generator = np.random.default_rng(seed)
    return {
        name: generator.integers(len(KINDS), size=count, dtype=np.int64)
        if name == "kind"
        else generator.uniform(*RANGES[name], size=count)
        for name in ALL_FACTORS
        if name in wanted
    }


def render_shapes(factors: Mapping[str, NDArray[Any]], size: int, channels: int) -> NDArray[np.uint8]:
    """Draw the pictures of given factors, smooth in all factors but `kind`.

    factors: values (n,) as of `sample_factors`. A missing factor is the middle of its range; without `kind` the shapes
        are discs, without `background` it is black.
    size: side in pixels
    channels: 1 (white shapes on black) or 3

    Returns uint8 (n, channels, size, size). Raises LoraeError for unknown factors and factors of unequal length.
    """
    _checked_factors(tuple(factors), ALL_FACTORS if channels == 3 else (*GRAY_FACTORS, "kind"))
    lengths = {len(values) for values in factors.values()}
    if len(lengths) != 1:
        raise LoraeError(f"factors: got arrays of {sorted(lengths)} values, expected one length")
    count = lengths.pop()
    every = {name: np.full(count, FIXED.get(name, sum(limits) / 2)) for name, limits in RANGES.items()}
    every |= {"kind": np.zeros(count, np.int64)} | dict(factors)
    out = np.empty((count, channels, size, size), np.uint8)
    for start in range(0, count, ROWS):
        rows = {name: values[start : start + ROWS] for name, values in every.items()}
        covered = _coverage(rows, size)[:, None]
        if channels == 3:
            color = np.stack([rows[name] for name in ("red", "green", "blue")], axis=1)
            behind = (1 - covered) * rows["background"][:, None, None, None]
            covered = covered * color[:, :, None, None] + behind
        out[start : start + ROWS] = np.rint(covered * 255)
    return out


def _coverage(rows: dict[str, NDArray[Any]], size: int) -> Floats:
    """Return the share of each pixel that the shape covers, (n, size, size)."""
    centers = (np.arange(size) + 0.5) / size
    across = centers[None, None, :] - rows["x"][:, None, None]
    down = centers[None, :, None] - rows["y"][:, None, None]
    radius = rows["size"][:, None, None]
    distance = np.empty((len(radius), size, size))
    for number, signed_distance in enumerate((_disc, _square, _triangle)):
        chosen = rows["kind"] == number
        if chosen.any():
            distance[chosen] = signed_distance(across[chosen], down[chosen], radius[chosen])
    # A ramp one pixel wide around the outline, so that every factor changes the picture gradually.
    return np.clip(0.5 - distance * size, 0, 1)


def _disc(across: Floats, down: Floats, radius: Floats) -> Floats:
    return np.hypot(across, down) - radius


def _square(across: Floats, down: Floats, radius: Floats) -> Floats:
    beyond_across = np.abs(across) - radius / np.sqrt(2)
    beyond_down = np.abs(down) - radius / np.sqrt(2)
    outside = np.hypot(np.maximum(beyond_across, 0), np.maximum(beyond_down, 0))
    inside = np.minimum(np.maximum(beyond_across, beyond_down), 0)
    distance: Floats = outside + inside
    return distance


def _triangle(across: Floats, down: Floats, radius: Floats) -> Floats:
    # The largest distance to the three sides: short of the true one only beyond the corners.
    slanted = np.abs(across) * (np.sqrt(3) / 2) - down / 2
    distance: Floats = np.maximum(slanted, down) - radius / 2
    return distance


def _drawn(factors: dict[str, NDArray[Any]], size: int, channels: int, rows: slice) -> NDArray[np.uint8]:
    return render_shapes({name: values[rows] for name, values in factors.items()}, size, channels)


def _checked_factors(names: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in allowed:
            raise unknown_name("factors", name, allowed, several=True)
    if not names or len(set(names)) < len(names):
        raise LoraeError(f"factors: got {', '.join(names) or 'none'}, expected one or more, each once")
    return names
