"""Draw every table and picture of the pages anew from the records: `make figures`."""

from studies import (
    against_pca,
    before_bottleneck,
    encoder_scale,
    exact_rank,
    feature_networks,
    first_look,
    imputation,
    penalty_every,
    sampling,
    tuning,
    zoo,
)
from studies.pages import dimension, methods, results, settings

DRAWN = (
    first_look,
    sampling,
    zoo,
    tuning,
    exact_rank,
    against_pca,
    imputation,
    penalty_every,
    encoder_scale,
    results,
    feature_networks,
    before_bottleneck,
    dimension,
    methods,
    settings,
)


def draw() -> None:
    """Draw all of them."""
    for module in DRAWN:
        module.draw()


if __name__ == "__main__":
    draw()
