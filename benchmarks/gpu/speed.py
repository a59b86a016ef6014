"""Seconds of a training step: a plain loop, the same one compiled, ours step by step, and ours as a CUDA graph."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gpu.records import Records
from lorae.config.resolution import resolve
from lorae.config.settings import Settings
from lorae.data import Dataset, Split
from lorae.linalg import nuclear_norm, polar, threshold_singular_values
from lorae.metrics.frechet import Moments, frechet_distance
from lorae.optim.proximal_adam import SHRINK_EVERY
from lorae.runs.store import InMemoryRun
from lorae.training.trainer import Trainer

SHAPES = {"mnist": (1, 32, 32), "celeba": (3, 64, 64)}
PENALTY = 1e-3
ONE_LAYER = {"method": "irmae", "bottleneck": {"layers": 1}, "matrix_init": "identity"}
# Name -> settings of a model that differ from those of the plain autoencoder.
PENALISED: dict[str, dict[str, Any]] = {
    "M without a penalty": ONE_LAYER,
    "polar, within the loss": {"method": "lorae", "penalty": PENALTY},
    "proximal steps": {"method": "lorae+", "penalty": PENALTY},
}


def device() -> str:
    """The GPU, or in a smoke test the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    """Until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(step: Callable[[int], Any], *, warm: int, steps: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of a step: the median, and the least and the most, of rounds of some steps after a warm-up."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    for index in range(warm):
        step(index)
    found = []
    for _ in range(rounds):
        wait()
        start = time.perf_counter()
        for index in range(steps):
            step(index)
        wait()
        found.append(1000 * (time.perf_counter() - start) / steps)
    peak = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    return {
        "milliseconds": statistics.median(found),
        "least": min(found),
        "most": max(found),
        "peak_mib": round(peak, 1),
    }


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """float32 in full, or TF32 for convolutions and matrix products; torch's own default has it for convolutions."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@contextlib.contextmanager
def separate_products() -> Iterator[None]:
    """Polar factors as on a GPU that has no kernel for them."""
    with mock.patch.object(polar, "_fits_one_kernel", return_value=False):
        yield


def random_items(network: str, count: int) -> np.ndarray[Any, Any]:
    """Images of noise, uint8 (count, c, h, w): a step takes the same time on them as on others."""
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPES[network])).astype(np.uint8)


def build_trainer(network: str, batch_size: int, items: np.ndarray[Any, Any], **settings: Any) -> Trainer:
    """A training that lives in memory, its model in training mode."""
    precision = settings.pop("precision", "float32")
    checked = Settings.from_values({"batch_size": batch_size, "network": network, **settings}, str)
    resolved = resolve(checked, "images", SHAPES[network]).with_machine(device(), precision)
    split = Split(items, None)
    trainer = Trainer(
        InMemoryRun(resolved, torch.get_num_threads()), Dataset("noise", split, split, "", ""), quiet=True
    )
    trainer.model.train()
    return trainer


def plain_model(network: str, latent_dim: int, width: float) -> tuple[nn.Module, nn.Linear]:
    """The paper's network of plain layers, with M, on the device; and M."""
    mnist = network == "mnist"
    channels, side = SHAPES[network][:2]
    counts = [round(width * n) for n in ((32, 64, 128, 256) if mnist else (128, 256, 512, 1024))]
    back = [round(width * n) for n in ((128, 64, 32) if mnist else (1024, 512, 256, 128))]
    layers: list[nn.Module] = []
    for before, after in zip([channels, *counts], counts, strict=False):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.ReLU()]
    M = nn.Linear(latent_dim, latent_dim, bias=False)
    start = side >> (len(back) - 1)
    layers += [nn.Flatten(), nn.Linear(counts[-1] * (side >> 4) ** 2, latent_dim), M]
    layers += [nn.Linear(latent_dim, back[0] * start**2), *([nn.ReLU()] if mnist else [])]
    layers.append(nn.Unflatten(1, (back[0], start, start)))
    for before, after in itertools.pairwise(back):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU()]
    layers += [nn.ConvTranspose2d(back[-1], channels, 1), nn.Tanh()]
    return nn.Sequential(*layers).to(device()), M


def plain_loop(
    network: str, batch_size: int, precision: str, *, width: float, compiled: str | None = None, penalty: bool = False
) -> Callable[[int], None]:
    """One step of the loop that most people write, its data on the GPU already."""
    torch.manual_seed(0)
    model, M = plain_model(network, 128, width)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    items = torch.from_numpy(random_items(network, 4 * batch_size)).to(device())

    def loss_of(x: Tensor) -> Tensor:
        with torch.autocast(device(), torch.bfloat16, enabled=precision == "bfloat16"):
            loss = nn.functional.mse_loss(model(x), x)
        return loss + PENALTY * torch.linalg.matrix_norm(M.weight, "nuc") if penalty else loss

    if compiled is not None:
        backend = "inductor" if torch.cuda.is_available() else "eager"
        loss_of = torch.compile(loss_of, mode=None if backend == "eager" else compiled, backend=backend)

    def step(index: int) -> None:
        start = index % 4 * batch_size
        loss = loss_of(items[start : start + batch_size].float() / 255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def our_loop(
    network: str,
    batch_size: int,
    precision: str,
    matrix: Tensor | None = None,
    within_loss: bool = False,
    **settings: Any,
) -> Callable[[int], None]:
    """One step of ours, as `Trainer.fit` takes it, without statistics; matrix: what M starts as."""
    named = "bfloat16" if precision == "bfloat16" else "float32"
    trainer = build_trainer(network, batch_size, random_items(network, 4 * batch_size), precision=named, **settings)
    if trainer.proximal is not None:
        trainer.proximal.weight.fill_(PENALTY)
    if matrix is not None:
        trainer.model.bottleneck.single_matrix().data.copy_(matrix)
    if within_loss:  # instead of on a stream of its own
        eager: Any = getattr(trainer.take_step, "eager", trainer.take_step)
        trainer.objective._concurrent = eager.concurrent = None

    def step(index: int) -> None:
        trainer.objective.before_step(index)
        start = index % 4 * batch_size
        trainer.take_step(trainer.items[start : start + batch_size])
        if trainer.proximal is not None and (index + 1) % SHRINK_EVERY == 0:
            trainer.proximal.shrink()

    return step


def steps(records: Records, network: str, *, smoke: bool) -> None:
    """The table of speeds: network, batch size, precision and contestant."""
    sizes = {"mnist": (32, 128, 1024), "celeba": (128, 32)}[network]
    width = 0.125 if smoke else 1.0
    counts = {"warm": 1, "steps": 1, "rounds": 2} if smoke else {"warm": 12, "steps": 30, "rounds": 5}
    for batch_size in (8,) if smoke else sizes:
        for precision in ("float32",) if smoke else ("float32", "tf32", "bfloat16"):
            contestants: dict[str, Callable[[], Callable[[int], None]]] = {
                "plain loop": partial(plain_loop, network, batch_size, precision, width=width),
                "ours, eager": partial(
                    our_loop, network, batch_size, precision, method="ae", width=width, capture="off"
                ),
                "ours, captured": partial(our_loop, network, batch_size, precision, method="ae", width=width),
            }
            if precision == "float32" and batch_size == min(sizes):
                contestants["plain loop, svd"] = partial(
                    plain_loop, network, batch_size, precision, width=width, penalty=True
                )
            if precision != "tf32":
                contestants["ours, captured, lorae"] = partial(
                    our_loop, network, batch_size, precision, method="lorae", penalty=PENALTY, width=width
                )
            for name, build in contestants.items():

                def take(build: Any = build, precision: str = precision) -> dict[str, Any]:
                    with products(precision):
                        return timed(build(), **counts)

                records.measure(f"{network} {batch_size} {precision}: {name}", take)


def compiled(records: Records, *, smoke: bool) -> None:
    """The plain loop under `torch.compile`, with and without CUDA graphs."""
    counts = {"warm": 2, "steps": 1, "rounds": 2} if smoke else {"warm": 12, "steps": 30, "rounds": 5}
    width = 0.125 if smoke else 1.0
    cases = [("mnist", 32, "float32", "default"), ("mnist", 32, "float32", "reduce-overhead")]
    cases += [] if smoke else [("celeba", 128, "bfloat16", "default"), ("mnist", 1024, "bfloat16", "default")]
    for network, batch_size, precision, mode in cases:

        def take(case: Any = (network, batch_size, precision, mode)) -> dict[str, Any]:
            with products(case[2]):
                return timed(plain_loop(*case[:3], width=width, compiled=case[3]), **counts)

        records.measure(f"{network} {batch_size} {precision}: plain loop, compiled ({mode})", take)


def trained_matrix(latent_dim: int) -> Tensor:
    """The spectrum that Adam leaves: some strong directions, the others from a hundredth down; float32 (l, l)."""
    generator = torch.Generator().manual_seed(0)
    strong = latent_dim // 8
    values = torch.cat([torch.linspace(1, 0.3, strong), torch.logspace(-2, -4, latent_dim - strong)])
    U, V = (torch.linalg.qr(torch.randn(latent_dim, latent_dim, generator=generator))[0] for _ in range(2))
    return U * values @ V.mT


def shrink(matrix: Tensor, threshold: float, _: int) -> None:
    """A proximal step by itself."""
    threshold_singular_values(matrix, threshold)


def penalties(records: Records, *, smoke: bool) -> None:
    """Steps with M alone, with each way to its nuclear norm, and those ways by themselves."""
    counts = {"warm": 1, "steps": 2, "rounds": 2} if smoke else {"warm": 20, "steps": 50, "rounds": 7}
    few = counts | {"steps": 3, "rounds": 3, "warm": 2}
    options = {"width": 0.125} if smoke else {}
    for latent_dim in (16,) if smoke else (128, 512, 1024):
        matrix = trained_matrix(latent_dim)
        for precision in ("tf32",) if smoke else ("bfloat16", "tf32"):
            for name, settings in PENALISED.items():
                chosen = {"latent_dim": latent_dim, **settings, **options}

                def take(
                    within: bool = "within" in name, p: str = precision, m: Tensor = matrix, c: Any = chosen
                ) -> dict[str, Any]:
                    with separate_products() if within else contextlib.nullcontext():
                        return timed(our_loop("mnist", 32, p, m, within, **c), **counts)

                records.measure(f"l = {latent_dim}, {precision}: {name}", take)
        for method in ("svd", "eigh", "polar"):
            M = matrix.to(device()).requires_grad_()

            def alone(_: int, M: Tensor = M, method: str = method) -> None:
                M.grad = None
                nuclear_norm(M, method).backward()

            records.measure(f"l = {latent_dim}: {method} by itself", partial(timed, alone, **few))
        for place in dict.fromkeys((device(), "cpu")):
            M = matrix.to(place)
            for spectrum, threshold in (("few directions left", 0.02), ("many directions left", 0.0)):
                records.measure(
                    f"l = {latent_dim}: proximal step by itself, {place}, {spectrum}",
                    partial(timed, partial(shrink, M, threshold), **few),
                )


def evaluation(records: Records, *, smoke: bool) -> None:
    """What `lorae evaluate` does most of: decoding, features, and a Frechet distance of 2,048 features."""
    from lorae.features import build_extractor

    n, width = (300, 32) if smoke else (10_000, 2048)
    model = build_trainer("mnist", 32, random_items("mnist", 64), method="ae", width=0.125 if smoke else 1.0).model
    latents = np.random.default_rng(0).normal(size=(n, model.spec.latent_dim)).astype(np.float32)
    pictures = random_items("mnist", n)
    few = {"warm": 1, "steps": 1, "rounds": 2 if smoke else 3}
    records.measure(f"decode {n} latents", lambda: timed(lambda _: model.decode(latents), **few))
    records.measure(f"encode {n} images", lambda: timed(lambda _: model.encode(pictures), **few))
    for name in ("digits",) if smoke else ("digits", "lite0"):

        def take(name: str = name) -> dict[str, Any]:
            extractor = build_extractor(name)
            return timed(lambda _: extractor(pictures[:2000], device=device()), **few)

        records.measure(f"features of {min(n, 2000)} images by {name}", take)
    features = np.random.default_rng(1).normal(size=(2, n, width))

    def distance(_: int) -> None:
        frechet_distance(*(Moments.of(each) for each in features))

    records.measure(f"Frechet distance of {n} and {n} items at {width} features", lambda: timed(distance, **few))


def profile(records: Records, *, smoke: bool) -> None:
    """The kernels of a captured step, by the time that they take."""

    def take() -> dict[str, Any]:
        from torch.profiler import ProfilerActivity
        from torch.profiler import profile as profiled

        step = our_loop("mnist", 32, "float32", method="lorae", penalty=PENALTY, width=0.125 if smoke else 1.0)
        for index in range(8):
            step(index)
        wait()
        count = 2 if smoke else 20
        activities = [ProfilerActivity.CUDA if torch.cuda.is_available() else ProfilerActivity.CPU]
        with profiled(activities=activities) as found:
            for index in range(count):
                step(index)
            wait()
        rows = [
            (event.key[:90], event.count / count, (event.device_time_total or event.cpu_time_total) / count)
            for event in found.key_averages()
        ]
        rows.sort(key=lambda row: -row[2])
        return {"kernels": sum(row[1] for row in rows), "microseconds": sum(row[2] for row in rows), "rows": rows[:25]}

    records.measure("captured step of lorae, batch 32", take)
