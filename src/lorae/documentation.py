"""Sections of the documentation that messages and reports name, in one place: a test checks that each exists."""

EXPLAINED_VARIANCE = "docs/metrics.md#explained-variance"
FEATURE_NETWORKS = "docs/metrics.md#feature-networks"
IMAGE_DISTANCES = "docs/metrics.md#distances-between-images"
MISSING_ENTRIES = "docs/estimator.md#missing-entries"
OWN_CODE = "docs/networks.md#runs-with-your-own-networks"
PIXEL_VALUES = "docs/data.md#range-of-pixel-values"
RANK = "docs/metrics.md#rank"
RANK_CHOICE = "docs/rank.md#a-share-or-an-error"
SPARSE_DATA = "docs/estimator.md#data-that-are-refused"
USE_OF_RANK = "docs/rank.md#afterwards"


def see(section: str) -> str:
    """Return the end of a message that names a section.

    >>> see(SPARSE_DATA)
    '; see docs/estimator.md#data-that-are-refused'
    """
    return f"; see {section}"
