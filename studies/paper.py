"""Reproduce the paper's tables, figures and theorems on MNIST in the preset `quick`: docs/results.md and its pages.

`make study-paper` runs `lorae reproduce all --preset quick` in `results/paper/` (an evening on 2 cores; an interrupted
study is continued) and draws the pages.
"""

from lorae.reproduction import reproduce
from studies import common
from studies.pages import results


def train() -> None:
    """Measure what has no record yet."""
    reproduce("all", preset="quick", out=common.results_folder("paper"))


if __name__ == "__main__":
    common.run_study(__doc__, train, results.draw)
