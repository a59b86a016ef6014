"""Geometric mean of the latents' standard deviations: flattens directions one after the other (least volume)."""

from torch import Tensor

from lorae.penalties._context import PenaltyContext

SOURCE = "Chen and Fuge, ICLR 2024 (arXiv:2404.17773)"
EQUATION = r"\left(\prod_{i=1}^{l} (s_i + 0.01)\right)^{1/l}"

# Added to each deviation, since one flat direction would otherwise cancel the penalty on all others; the value in the
# authors' code. Their decoder is spectrally normalized: without a bound on its slopes it can undo any shrinking of the
# latents.
ETA = 1e-2


def penalty(context: PenaltyContext) -> Tensor:
    """Return exp(mean log(deviation + ETA)) with deviations over the batch; scalar, float32."""
    # Divided by n, not by n - 1: the last batch of an epoch may have one item, whose deviation is then zero.
    deviations = context.latents.std(0, correction=0)
    return (deviations + ETA).log().mean().exp()
