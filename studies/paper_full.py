"""Reproduce five of the paper's tables and figures on MNIST with the paper's fifty epochs: pages of docs/results.md.

`make study-paper-full` runs `lorae reproduce NAME --preset paper` in `results/paper-full/` (half an hour to an hour and
a half a model; an interrupted study is continued) and draws the pages.
"""

from lorae.reproduction import reproduce
from studies import common
from studies.pages import results


def train() -> None:
    """Measure what has no record yet."""
    for name in results.FULL.studies:
        reproduce(name, preset="paper", out=common.results_folder("paper-full"))


if __name__ == "__main__":
    common.run_study(__doc__, train, results.draw)
