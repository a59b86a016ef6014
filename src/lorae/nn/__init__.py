"""The low-rank layer for networks and training loops of your own; `docs/own_loop.md` shows how.

`LowRankLinear` stands between an encoder and a decoder. Its rank is lowered by proximal steps, which make singular
values exactly zero (`ProximalAdam`, or `proximal_step` after the steps of another Adam), or by a term of the loss
(`nuclear_norm_penalty`). After the training, `fold` or `truncate` removes the layer from the network.
"""

from lorae.models.low_rank import LowRankLinear
from lorae.nn.folding import fold, truncate
from lorae.nn.penalty import nuclear_norm_penalty
from lorae.nn.proximal import ProximalAdam, proximal_step

__all__ = ["LowRankLinear", "ProximalAdam", "fold", "nuclear_norm_penalty", "proximal_step", "truncate"]
