"""The polar factor of M in one kernel against separate matrix products: by itself, within a step, and its error."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.records import Records
from benchmarks.gpu.speed import ONE_LAYER, PENALTY, device, our_loop, separate_products, timed, trained_matrix
from lorae.linalg import polar

LORAE = {"method": "lorae", "penalty": PENALTY}
HELD = 10


def compare(records: Records, *, smoke: bool) -> None:
    """A record for each width, and for each width and precision."""
    for latent_dim in (16,) if smoke else (128, 512, 1024):
        matrix = trained_matrix(latent_dim)
        records.measure(f"l = {latent_dim}: by itself", partial(by_itself, matrix))
        for precision in ("tf32",) if smoke else ("bfloat16", "tf32"):
            name = f"l = {latent_dim}, {precision}: within a step"
            records.measure(name, partial(within_a_step, matrix, precision, smoke=smoke))


def by_itself(matrix: Tensor) -> dict[str, Any]:
    """Microseconds in a graph of ten, and the largest error of an entry where no singular value is small."""
    U, _, Vh = torch.linalg.svd(matrix.to(device()).double())
    values = torch.linspace(1, 0.05, len(matrix), dtype=torch.float64, device=U.device)
    flat = (U * values @ Vh).float()
    found: dict[str, Any] = {}
    for name, context in (("products", separate_products()), ("kernel", contextlib.nullcontext())):
        with context:
            found[name] = {
                "microseconds": microseconds(partial(polar.polar_factor, matrix.to(device()))),
                "error": float((polar.polar_factor(flat)[1] - U @ Vh).abs().max()),
            }
    return found


def microseconds(function: Callable[[], Any], count: int = 10) -> float:
    """Median of a call, on a GPU in a graph that holds some of them."""
    if not torch.cuda.is_available():
        return 1000 * float(timed(lambda _: function(), warm=3, steps=1, rounds=7)["milliseconds"])
    for _ in range(3):
        function()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
        for _ in range(count):
            function()
    return 1000 * float(timed(lambda _: graph.replay(), warm=1, steps=1, rounds=7)["milliseconds"]) / count


def within_a_step(matrix: Tensor, precision: str, *, smoke: bool) -> dict[str, Any]:
    """What the penalty adds to a step with M, as a share: in every step, and with a slope held for ten steps."""
    counts = {"warm": 1, "steps": 2, "rounds": 2} if smoke else {"warm": 20, "steps": 50, "rounds": 7}
    options: dict[str, Any] = {"latent_dim": len(matrix)} | ({"width": 0.125} if smoke else {})

    def milliseconds(**settings: Any) -> float:
        step = our_loop("mnist", 32, precision, matrix, **options, **settings)
        return float(timed(step, **counts)["milliseconds"])

    before = milliseconds(**ONE_LAYER)
    with separate_products():
        costs = {"products": milliseconds(**LORAE), "products, held": milliseconds(**LORAE, penalty_every=HELD)}
    costs |= {"kernel": milliseconds(**LORAE), "kernel, held": milliseconds(**LORAE, penalty_every=HELD)}
    base = (before + milliseconds(**ONE_LAYER)) / 2
    return {"milliseconds": base, "shares": {name: cost / base - 1 for name, cost in costs.items()}}
