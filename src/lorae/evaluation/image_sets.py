"""Distances between two collections of items, independent of runs."""

from typing import Any

import numpy as np

from lorae.data.collection import Collection, load_collection
from lorae.errors import LoraeError
from lorae.features import Own, build_extractor
from lorae.metrics.frechet import Moments, frechet_distance, warn_of_few
from lorae.metrics.kernel import UNIT_PROTOCOL, kernel_distance, unit_discrepancy
from lorae.system.hardware import keep_freed_memory
from lorae.system.progress import progress_bar
from lorae.system.stored_items import changed, mean_of


def compare_collections(
    first: Any,
    second: Any,
    *,
    features: Own | str | None,
    features_weights: str | None,
    size: int | None,
    value_range: tuple[float, float] | None,
    skip_bad: bool,
    seed: int,
    device: str,
    quiet: bool = False,
) -> dict[str, Any]:
    """Return Frechet and kernel distances with their protocol, as plain values; see `lorae.fid`."""
    one = load_collection(first, size, skip_bad, value_range)
    sides = [one, load_collection(second, size, skip_bad, value_range, one.columns)]
    _check_shapes(*sides)
    kind = "vectors" if sides[0].items.ndim == 2 else "images"
    extractor = build_extractor(features or ("raw" if kind == "vectors" else "inception"), features_weights)
    items = [side.items for side in sides]
    if any(part.dtype == np.float64 for part in items):  # vectors so far from zero that features in float32 round them
        origin = mean_of(items[0])
        items = [
            changed(part, lambda rows: (rows - origin).astype(np.float32), origin.shape, np.float32) for part in items
        ]
    keep_freed_memory()
    with progress_bar(quiet) as bar:
        found = []
        for side, values in zip(sides, items, strict=True):
            task = bar.add_task(f"features of {side.name}", total=len(side), note="")
            found.append(extractor(values, device, lambda n, task=task: bar.advance(task, n)))  # type: ignore[misc]
    moments = [Moments.of(part) for part in found]
    for side, part in zip(sides, moments, strict=True):
        warn_of_few(part.n, len(part.mean), f"items of {side.name}")
    return {
        "fid": frechet_distance(*moments),
        "kid": kernel_distance(found[0], found[1], seed=seed),
        "cmmd": unit_discrepancy(found[0], found[1]),
        "n": [len(side) for side in sides],
        "protocol": extractor.describe()
        | UNIT_PROTOCOL
        | {
            "quantisation": "uint8 as given" if kind == "images" else "none",
            "collections": [side.name for side in sides],
            "resized to": size,
            "seed": seed,
        },
    }


def _check_shapes(first: Collection, second: Collection) -> None:
    shapes = [side.items.shape[1:] for side in (first, second)]
    if shapes[0] == shapes[1]:
        return
    listed = " and ".join(
        f"{'x'.join(map(str, shape))} ({side.name})" for shape, side in zip(shapes, (first, second), strict=True)
    )
    cure = "; pass size=N" if len(shapes[0]) == len(shapes[1]) == 3 and shapes[0][0] == shapes[1][0] else ""
    raise LoraeError(f"data: got items of {listed}, expected one shape{cure}", settings={"size": "N"})
