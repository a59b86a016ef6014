"""The polar factor of a matrix by matrix products alone."""

import warnings
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

from lorae.errors import LoraeWarning

# Largest width for which one kernel was measured to be faster than separate matrix products.
ONE_KERNEL = 1024
# Largest error of an entry of a factor that is not a defect: six times that of the kernel at 1,024 on an H200.
CLOSE = 1e-5

# Coefficients (a, b, c) of odd quintics whose composition maps [1e-4, 1] to 1 within 1e-7. Each minimizes the largest
# |1 - (a x + b x^3 + c x^5)| on the interval that those before leave (Amsel et al., Polar Express, arXiv:2505.16932).
POLAR = (
    (8.50988530258628, -25.264304190830913, 18.75356789973964),
    (4.2495734789228745, -3.1549764881142286, 0.5858847824913271),
    (4.225122190777838, -3.1380444350845695, 0.5839534551299155),
    (4.124838686994381, -3.0683324528059797, 0.5760029536456939),
    (3.7580103358028367, -2.809273892403242, 0.5464842065876799),
    (2.8561775412914967, -2.1340562331753916, 0.47011076918026407),
    (2.02060041577613, -1.4037211504666558, 0.3906738968520276),
    (1.875875100480897, -1.250971990481122, 0.3750972123419877),
    (1.875, -1.25, 0.375),
)


def polar_factor(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return <M, W> and W = U V^T by composed odd quintics, each the best one on the interval that the last one leaves.

    Directions below 1e-4 of the Frobenius norm count less. A GPU runs one kernel up to a width of `ONE_KERNEL`, and
    three matrix products for each quintic above.

    >>> polar_factor(torch.diag(torch.tensor([3.0, -4.0])))[0]
    tensor(7.)
    """
    if _fits_one_kernel(matrix):
        from lorae.linalg.polar_kernel import run_polar_kernel

        return run_polar_kernel(matrix, POLAR)
    # In float64 the squares of small and large numbers neither vanish nor overflow.
    norm = torch.linalg.vector_norm(matrix, dtype=torch.float64)
    X: Tensor = matrix / norm.clamp_min(torch.finfo(matrix.dtype).tiny).to(matrix.dtype)
    wide = X.shape[0] < X.shape[1]
    X = X.mT if wide else X
    for a, b, c in POLAR:
        gram = X.mT @ X
        X = torch.addmm(X, X, torch.addmm(gram, gram, gram, beta=b, alpha=c), beta=a)  # three kernels on a GPU
    factor = X.mT if wide else X
    return (matrix * factor).sum(), factor


def _fits_one_kernel(matrix: Tensor) -> bool:
    """Whether the kernel takes a matrix; within a graph of `torch.compile` it would be a break."""
    return (
        matrix.is_cuda
        and matrix.dtype == torch.float32
        and 0 < matrix.shape[0] == matrix.shape[1] <= ONE_KERNEL
        and not torch.compiler.is_compiling()
        and _kernel_works(matrix.device, len(matrix))
    )


# (device, width) -> whether the kernel was built there and gave the right factor of a known matrix.
_tried: dict[tuple[torch.device, int], bool] = {}


def _kernel_works(device: torch.device, width: int) -> bool:
    """Whether a GPU runs the kernel at a width; tried once, as Triton needs a compiler, and the kernel fast memory.

    A stream that is being recorded as a CUDA graph cannot try.
    """
    if (device, width) not in _tried:
        if torch.cuda.is_current_stream_capturing():
            return False
        _tried[device, width] = _has_triton(device) and _try_kernel(device, width)
    return _tried[device, width]


def _has_triton(device: torch.device) -> bool:
    """Whether the GPU is of Nvidia's Ampere or later, and Triton knows launches whose blocks wait for each other."""
    if torch.version.hip is not None or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:
        release = version("triton")
    except PackageNotFoundError:
        return False
    return tuple(map(int, release.split(".")[:2])) >= (3, 3)


def _try_kernel(device: torch.device, width: int) -> bool:
    """Whether the kernel's polar factor of a positive matrix is the identity; a warning says why it cannot be built."""
    identity = torch.eye(width, device=device)
    try:
        from lorae.linalg.polar_kernel import run_polar_kernel

        _, factor = run_polar_kernel(identity + 1 / width, POLAR)
        return bool((factor - identity).abs().max() < CLOSE)
    except Exception as error:  # of a compiler, a driver or Triton
        reason = str(error).strip().splitlines()[:1]
        warnings.warn(
            f"nuclear norms of width {width} take several times as long on {device}: Triton cannot build their kernel "
            f"({type(error).__name__}: {''.join(reason)}), so separate matrix products take its place, with the same "
            "results; Triton needs a C compiler and Python's headers",
            LoraeWarning,
            stacklevel=2,
        )
        return False
