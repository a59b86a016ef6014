"""The polar factor of a matrix in one kernel of a GPU, in Triton; imported only where `polar_factor` uses it."""

from dataclasses import dataclass
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

# A float32 number is a sum of two halves, the lower one times 2^11, so that three products of halves on tensor cores
# have nearly the precision of float32 (Ootomo and Yokota, arXiv:2203.03341). The lower halves' product is below it.
LOWER: tl.constexpr = tl.constexpr(2048.0)


@dataclass(frozen=True)
class Launch:
    """Numbers of a launch: sides of tiles, warps of a program, steps of its pipeline, and programs on a processor."""

    block: int
    warps: int = 4
    stages: int = 3
    inner: int = 64
    each: int = 1


def run_polar_kernel(
    matrix: Tensor, quintics: tuple[tuple[float, float, float], ...], launch: Launch | None = None
) -> tuple[Tensor, Tensor]:
    """Return <M, W> and the polar factor W of a square float32 matrix (l, l) on a GPU, by composed odd quintics.

    All programs of the kernel wait for each other between products, which a cooperative launch allows: it fails unless
    all of them fit on the GPU at once.
    """
    width, device = len(matrix), matrix.device
    properties = torch.cuda.get_device_properties(device)
    # Without the newer of the two attributes: too little for the largest tiles.
    memory = getattr(properties, "shared_memory_per_block_optin", properties.shared_memory_per_block)
    launch = launch or _best_launch(width, memory)
    tiles = triton.cdiv(width, launch.block)
    padded = tiles * launch.block
    programs = min(tiles * tiles, launch.each * properties.multi_processor_count)
    halves = torch.empty(8 * padded * padded, dtype=torch.float16, device=device)
    partial = torch.empty(programs, dtype=torch.float64, device=device)
    arrived = torch.zeros(1, dtype=torch.int32, device=device)
    factor = torch.empty_like(matrix, memory_format=torch.contiguous_format)
    value = matrix.new_empty(())
    with torch.cuda.device(device):
        _polar[(programs,)](
            matrix, *matrix.stride(), factor, value, halves, partial, arrived, _on(device, quintics), len(quintics),
            width, padded, tiles, programs, BLOCK=launch.block, INNER=min(launch.inner, padded),
            PARTIALS=triton.next_power_of_2(programs), num_warps=launch.warps, num_stages=launch.stages,
            launch_cooperative_grid=True,
        )  # fmt: skip
    return value, factor


def _best_launch(width: int, shared_memory: int) -> Launch:
    """Return the launch that was the fastest beside a training step on an H200, if the memory (bytes) allows it.

    At 1,024 few programs are slower by themselves (0.61 instead of 0.37 ms with two on each processor), but leave
    processors to the networks: a step takes 22% more time instead of 52%.
    """
    if width <= 256:
        return Launch(32)
    if width <= 512 or shared_memory < 3 * 4 * 128 * 64 * 2:
        return Launch(64)
    return Launch(128, warps=8)


@cache
def _on(device: torch.device, quintics: tuple[tuple[float, float, float], ...]) -> Tensor:
    """Return coefficients on a device, copied once: a CUDA graph cannot record the copy."""
    return torch.tensor(quintics, dtype=torch.float32, device=device)


@triton.jit
def _polar(
    matrix, row_stride, column_stride, factor, value, halves, partial, arrived, coefficients, quintics,
    width, padded, tiles, programs, BLOCK: tl.constexpr, INNER: tl.constexpr, PARTIALS: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    within = tl.arange(0, BLOCK)
    parts = tl.arange(0, PARTIALS)
    plane = padded * padded
    # Matrices of pairs of halves: X, the next X, X X^T, and the quintic's b X X^T + c (X X^T)^2 + a I.
    X = halves
    next_X = halves + 2 * plane
    gram = halves + 4 * plane
    mixed = halves + 6 * plane

    # The Frobenius norm, in float64: squares of small and large numbers neither vanish nor overflow.
    total = tl.full((), 0.0, tl.float64)
    for tile in range(program, tiles * tiles, programs):
        M = _load_tile(matrix, row_stride, column_stride, width, tile // tiles, tile % tiles, BLOCK).to(tl.float64)
        total += tl.sum(M * M)
    tl.store(partial + program, total)
    arrivals = programs
    _wait_for_all(arrived, arrivals)
    squares = tl.sum(tl.load(partial + parts, mask=parts < programs, other=0.0, cache_modifier=".cg"))
    scale = 1.0 / tl.maximum(tl.sqrt(squares), 1.1754943508222875e-38)
    for tile in range(program, tiles * tiles, programs):
        M = _load_tile(matrix, row_stride, column_stride, width, tile // tiles, tile % tiles, BLOCK).to(tl.float64)
        rows, columns = (tile // tiles) * BLOCK + within, (tile % tiles) * BLOCK + within
        _store_pair(X + rows[:, None] * padded + columns[None, :], plane, (M * scale).to(tl.float32))
    arrivals += programs
    _wait_for_all(arrived, arrivals)

    lower_triangle = tiles * (tiles + 1) // 2
    for quintic in range(quintics):
        a = tl.load(coefficients + 3 * quintic)
        b = tl.load(coefficients + 3 * quintic + 1)
        c = tl.load(coefficients + 3 * quintic + 2)
        for tile in range(program, lower_triangle, programs):
            i, j = _place_in_triangle(tile)
            product = _multiply(X, X, i, j, padded, plane, True, BLOCK, INNER)
            _store_symmetric(gram, i, j, padded, plane, product, BLOCK)
        arrivals += programs
        _wait_for_all(arrived, arrivals)

        for tile in range(program, lower_triangle, programs):
            i, j = _place_in_triangle(tile)
            square = _multiply(gram, gram, i, j, padded, plane, True, BLOCK, INNER)
            rows, columns = i * BLOCK + within, j * BLOCK + within
            linear = _load_pair(gram + rows[:, None] * padded + columns[None, :], plane)
            polynomial = b * linear + c * square + tl.where(rows[:, None] == columns[None, :], a, 0.0)
            _store_symmetric(mixed, i, j, padded, plane, polynomial, BLOCK)
        arrivals += programs
        _wait_for_all(arrived, arrivals)

        total = tl.full((), 0.0, tl.float64)
        for tile in range(program, tiles * tiles, programs):
            i, j = tile // tiles, tile % tiles
            product = _multiply(mixed, X, i, j, padded, plane, False, BLOCK, INNER)
            rows, columns = i * BLOCK + within, j * BLOCK + within
            if quintic == quintics - 1:
                M = _load_tile(matrix, row_stride, column_stride, width, i, j, BLOCK)
                total += tl.sum((M * product).to(tl.float64))
                inside = (rows[:, None] < width) & (columns[None, :] < width)
                tl.store(factor + rows[:, None] * width + columns[None, :], product, mask=inside)
            else:
                _store_pair(next_X + rows[:, None] * padded + columns[None, :], plane, product)
        tl.store(partial + program, total)
        arrivals += programs
        _wait_for_all(arrived, arrivals)
        last_X = X
        X = next_X
        next_X = last_X
    if program == 0:
        total = tl.sum(tl.load(partial + parts, mask=parts < programs, other=0.0, cache_modifier=".cg"))
        tl.store(value, total.to(tl.float32))


@triton.jit
def _place_in_triangle(tile):
    """Return row and column of a tile of a lower triangle that is counted row by row."""
    i = ((tl.sqrt(8.0 * tile + 1.0) - 1.0) / 2.0).to(tl.int32)
    return i, tile - i * (i + 1) // 2


@triton.jit
def _wait_for_all(arrived, arrivals):
    """Wait until all programs have stored their results; loads of them bypass the caches of single processors."""
    tl.debug_barrier()
    tl.atomic_add(arrived, 1)
    while tl.atomic_add(arrived, 0) < arrivals:
        pass
    tl.debug_barrier()


@triton.jit
def _multiply(left, right, i, j, padded, plane, TRANSPOSED: tl.constexpr, BLOCK: tl.constexpr, INNER: tl.constexpr):
    """Return tile (i, j) of the product of two matrices of pairs, the right one transposed if asked."""
    rows = i * BLOCK + tl.arange(0, BLOCK)
    columns = j * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK, BLOCK), tl.float32)
    mixed = tl.zeros((BLOCK, BLOCK), tl.float32)
    for start in range(0, padded, INNER):
        inner = start + tl.arange(0, INNER)
        at_left = left + rows[:, None] * padded + inner[None, :]
        if TRANSPOSED:
            at_right = right + columns[None, :] * padded + inner[:, None]
        else:
            at_right = right + inner[:, None] * padded + columns[None, :]
        left_upper = tl.load(at_left, cache_modifier=".cg")
        left_lower = tl.load(at_left + plane, cache_modifier=".cg")
        right_upper = tl.load(at_right, cache_modifier=".cg")
        right_lower = tl.load(at_right + plane, cache_modifier=".cg")
        total = tl.dot(left_upper, right_upper, total)
        mixed = tl.dot(left_lower, right_upper, tl.dot(left_upper, right_lower, mixed))
    return total + mixed / LOWER


@triton.jit
def _load_tile(matrix, row_stride, column_stride, width, i, j, BLOCK: tl.constexpr):
    """Return tile (i, j) of the matrix, with zeros beyond its border."""
    rows = i * BLOCK + tl.arange(0, BLOCK)[:, None]
    columns = j * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (rows < width) & (columns < width)
    return tl.load(matrix + rows * row_stride + columns * column_stride, mask=inside, other=0.0)


@triton.jit
def _load_pair(at, plane):
    upper = tl.load(at, cache_modifier=".cg").to(tl.float32)
    return upper + tl.load(at + plane, cache_modifier=".cg").to(tl.float32) / LOWER


@triton.jit
def _store_pair(at, plane, values):
    upper = values.to(tl.float16)
    tl.store(at, upper)
    tl.store(at + plane, ((values - upper.to(tl.float32)) * LOWER).to(tl.float16))


@triton.jit
def _store_symmetric(matrix, i, j, padded, plane, values, BLOCK: tl.constexpr):
    """Store tile (i, j) of a symmetric matrix, and its mirror image."""
    rows = i * BLOCK + tl.arange(0, BLOCK)
    columns = j * BLOCK + tl.arange(0, BLOCK)
    _store_pair(matrix + rows[:, None] * padded + columns[None, :], plane, values)
    if i != j:
        _store_pair(matrix + columns[:, None] * padded + rows[None, :], plane, tl.trans(values))
