"""Compare estimated with known dimensions: the page docs/dimension.md and a table of the README.

`make study-dimension` runs `lorae reproduce dimension` in `results/dimension/` (some hours on 2 cores; an interrupted
study is continued) and draws the page.
"""

from lorae.reproduction import reproduce
from studies import common
from studies.pages import dimension


def train() -> None:
    """Measure what has no record yet."""
    reproduce("dimension", preset="quick", out=common.results_folder(dimension.STUDY))


if __name__ == "__main__":
    common.run_study(__doc__, train, dimension.draw)
