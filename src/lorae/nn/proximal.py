"""Proximal steps on the low-rank layers of any network."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.models.low_rank import low_rank_matrices
from lorae.optim import proximal_adam
from lorae.optim.proximal_adam import SHRINK_EVERY, replace_step, shrink, unshrunk
from lorae.validation import optional, real, whole

# The default weight of `method="lorae+"`, for losses that are means over all entries, of items of about unit scale.
PENALTY = 1e-3
# Dtypes in which a product of factors has, up to a rounding that `rank` ignores, singular values of zero.
EXACT = (torch.float32, torch.float64)


class ProximalAdam(proximal_adam.ProximalAdam):
    """Adam, with proximal steps that minimize the nuclear norm of every `LowRankLinear` among the parameters.

    A replacement of `torch.optim.Adam` by which singular values of M become exactly zero: the loss contains no penalty.
    Other parameters take the steps of Adam.

    Parameters
    ----------
    params : iterable of Parameter or dict
        Parameters of the network, or groups of them, as for `torch.optim.Adam`. The matrices of the layers among them
        become a group of their own, with the options below.
    lr : float, default=1e-3
        Learning rate, that of Adam.
    penalty : float, default=1e-3
        Weight of the nuclear norm, the default of `method="lorae+"` for losses that are means over all entries. The
        scalar tensor `weight` of the optimizer holds it and may be changed during the training.
    every : int, default=10
        Steps between two factorizations of M, which apply the thresholds of the steps in between. Ten steps move M by
        about a hundredth of its norm.
    max_rank : int, default=None
        Bound on the rank of each layer, applied with the thresholds.
    **options
        Other options of `torch.optim.Adam`. `weight_decay` does not act on M, which has a penalty of its own.

    Raises
    ------
    LoraeError
        Without a `LowRankLinear`, for one in half precision, and for values outside their range.

    Notes
    -----
    Call `shrink` after the last step, before `fold` or `truncate`: until then thresholds of the last few steps are not
    applied. `rank` is the rank after the last `shrink`. The algorithm is derived in docs/numerics.md; the proximal step
    is that of Cai, Candes and Shen, SIAM Journal on Optimization 2010.

    Examples
    --------
    >>> from lorae.nn import LowRankLinear
    >>> layer = LowRankLinear(6)
    >>> optimizer = ProximalAdam(layer.parameters(), lr=0.01, penalty=0.1)
    >>> x = torch.tensor([3.0, 2.0, 0.0, 0.0, 0.0, 0.0]).diag()
    >>> for _ in range(300):
    ...     optimizer.zero_grad()
    ...     (layer(x) - x).square().mean().backward()
    ...     optimizer.step()
    >>> _ = optimizer.shrink()
    >>> optimizer.rank
    2
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        penalty: float = PENALTY,
        *,
        every: int = SHRINK_EVERY,
        max_rank: int | None = None,
        **options: Any,
    ) -> None:
        penalty, self.every, self.max_rank = _checked(penalty, every, max_rank)
        if options.get("maximize"):
            raise LoraeError("maximize: got True, expected False: the nuclear norm is minimized together with the loss")
        groups = _groups(params)
        matrices = _matrices([parameter for group in groups for parameter in group["params"]])
        known = {id(matrix) for matrix in matrices}
        others = [group | {"params": [each for each in group["params"] if id(each) not in known]} for group in groups]
        weight = torch.tensor(penalty, dtype=torch.float32, device=matrices[0].device)
        super().__init__([group for group in others if group["params"]], matrices, weight, lr=lr, **options)
        self.matrix_group["unshrunk"] = 0  # steps since the last factorization; in the group, to be in state dicts

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of all parameters, and factorize M if it is time; return the loss that the closure computes."""
        loss = super().step(closure)
        self.matrix_group["unshrunk"] += 1
        if self.matrix_group["unshrunk"] >= self.every:
            self.shrink()
        return loss

    def shrink(self, max_rank: int | None = None) -> Tensor:
        """Apply the thresholds of the last steps and the bound on the rank; return the remaining singular values."""
        self.matrix_group["unshrunk"] = 0
        return super().shrink(self.max_rank if max_rank is None else max_rank)


def proximal_step(
    optimizer: torch.optim.Optimizer,
    penalty: float = PENALTY,
    *,
    every: int = SHRINK_EVERY,
    max_rank: int | None = None,
) -> None:
    """Minimize the nuclear norm of every `LowRankLinear` that an Adam optimizes; call it after each of its steps.

    For loops that keep their optimizer. The last step of M by Adam is replaced, from the moments in Adam's state, by
    the step that `ProximalAdam` takes; other parameters are left alone. Singular values of M become exactly zero.

    Parameters
    ----------
    optimizer : torch.optim.Adam or torch.optim.AdamW
        An optimizer that has taken a step, whose loss contains no penalty. What is not yet applied is kept in its
        state, and so in its checkpoints. The decay of AdamW acts on M too.
    penalty : float, default=1e-3
        Weight of the nuclear norm, as for `ProximalAdam`.
    every : int, default=10
        Steps between two factorizations of M. After the last step, call it once more with 1, before `fold` or
        `truncate`, so that nothing remains to be applied: a step that was replaced is not replaced again.
    max_rank : int, default=None
        Bound on the rank of each layer.

    Raises
    ------
    LoraeError
        For another optimizer, `amsgrad` or `maximize`, one without a `LowRankLinear`, one in half precision, and for
        values outside their range.

    Notes
    -----
    Call it before a scheduler changes the learning rate. Source: as for `ProximalAdam`.

    Examples
    --------
    >>> from lorae.nn import LowRankLinear
    >>> layer = LowRankLinear(6)
    >>> optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    >>> x = torch.tensor([3.0, 2.0, 0.0, 0.0, 0.0, 0.0]).diag()
    >>> for _ in range(300):
    ...     optimizer.zero_grad()
    ...     (layer(x) - x).square().mean().backward()
    ...     _ = optimizer.step()
    ...     proximal_step(optimizer, penalty=0.1)
    >>> proximal_step(optimizer, penalty=0.1, every=1)
    >>> layer.rank()
    2
    """
    penalty, every, max_rank = _checked(penalty, every, max_rank)
    if not isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
        raise LoraeError(
            f"optimizer: got {type(optimizer).__name__}, expected torch.optim.Adam or AdamW, whose moments are known"
        )
    if isinstance(optimizer, proximal_adam.ProximalAdam):
        raise LoraeError("optimizer: got ProximalAdam, which takes its proximal steps itself; expected a plain Adam")
    matrices = _matrices([parameter for group in optimizer.param_groups for parameter in group["params"]])
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    for matrix in matrices:
        state, group = optimizer.state.get(matrix), groups[id(matrix)]
        for option in ("amsgrad", "maximize"):
            if group[option]:
                raise LoraeError(f"optimizer: got {option}=True, expected False for the low-rank layers")
        if state:  # without a gradient, as in a frozen layer, Adam has taken no step
            _replace(matrix, state, group, penalty, every, max_rank)


def _replace(
    matrix: nn.Parameter, state: dict[str, Any], group: dict[str, Any], penalty: float, every: int, max_rank: int | None
) -> None:
    """Replace the last step of M, and factorize M if it is time."""
    if "pending" not in state:
        state.update(unshrunk(matrix), replaced=torch.zeros_like(torch.as_tensor(state["step"])), unshrunk=0)
    replace_step(matrix, state, group, torch.tensor(penalty, dtype=torch.float32, device=matrix.device))
    state["unshrunk"] += 1
    if state["unshrunk"] >= every:
        state["unshrunk"] = 0
        shrink(matrix, state, max_rank)


def _checked(penalty: float, every: int, max_rank: int | None) -> tuple[float, int, int | None]:
    return (
        real(0).check("penalty", penalty, "argument penalty"),
        whole(1).check("every", every, "argument every"),
        optional(whole(1)).check("max_rank", max_rank, "argument max_rank"),
    )


def _groups(params: Iterable[Any]) -> list[dict[str, Any]]:
    """Return groups of parameters, from groups, parameters, or pairs of a name and a parameter."""
    given = list(params)
    groups = given if given and isinstance(given[0], dict) else [{"params": given}]
    parts = [[group["params"]] if isinstance(group["params"], Tensor) else list(group["params"]) for group in groups]
    without_names = [[part[1] if isinstance(part, tuple) else part for part in each] for each in parts]
    return [group | {"params": each} for group, each in zip(groups, without_names, strict=True)]


def _matrices(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """Return the matrices of low-rank layers among parameters; LoraeError without one or for half precision."""
    matrices = low_rank_matrices(parameters)
    if not matrices:
        raise LoraeError(
            f"optimizer: got {len(parameters)} parameters, none the matrix of a lorae.nn.LowRankLinear, expected one; "
            "put the layer into the network before the optimizer is made"
        )
    for matrix in matrices:
        if matrix.dtype not in EXACT:
            raise LoraeError(
                f"LowRankLinear: got a matrix of {matrix.dtype}, which rounds away the small steps of singular values; "
                "expected float32 or float64; use autocast for the network, or layer.float()"
            )
    return matrices
