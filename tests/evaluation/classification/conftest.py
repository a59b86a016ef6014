"""Clusters that a classifier separates, and labels that it cannot know."""

import numpy as np
import pytest


# Half of 32 units are still many; with a handful dropout leaves too few to learn from in seconds.
def clusters(n, classes=4, width=32, seed=0):
    """Latents float32 (n, width) around one centre a class, and labels 3, 4, ...: classes need not start at 0."""
    centres = 6 * np.eye(classes, width)
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    return (centres[labels] + rng.normal(size=(n, width))).astype(np.float32), labels + 3


@pytest.fixture(scope="session")
def separable():
    return (*clusters(600), *clusters(400, seed=1))


@pytest.fixture(scope="session")
def hopeless():
    rng = np.random.default_rng(2)
    return (
        rng.normal(size=(600, 6)).astype(np.float32),
        rng.integers(4, size=600),
        rng.normal(size=(2000, 6)).astype(np.float32),
        rng.integers(4, size=2000),
    )
