"""Norms of Jacobians by random directions."""

from collections.abc import Callable

import torch
from torch import Tensor

from lorae.randomness import randn_like


def squared_jacobian_norm(function: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Return an estimate of the mean over `points` of |J|^2, the squared Frobenius norm of the Jacobian of `function`.

    |J^T v|^2 with a standard normal v, new for each point, has that mean (Hutchinson, Communications in Statistics
    1990): one backward pass instead of one for each output. `function` maps each point by itself. Differentiable in
    the parameters of `function`, not in the points. Runs outside autocast.
    """
    points = points.detach().requires_grad_()
    with torch.autocast(points.device.type, enabled=False):
        outputs = function(points)
        (pulled_back,) = torch.autograd.grad(outputs, points, randn_like(outputs), create_graph=True)
    return pulled_back.square().sum() / len(points)
