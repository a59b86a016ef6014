"""Vectors on manifolds of known dimension: planes, a swiss roll, warped cubes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorae.errors import LoraeError, unknown_name

Floats = NDArray[np.float64]

# Enough room for three features of each of ten dimensions, twice over: the manifold never fills the space.
AMBIENT = 60


@dataclass(frozen=True)
class Manifold:
    """A distribution of coordinates (n, dimension), and a smooth map `embed` from them to vectors (n, ambient).

    The Jacobian of the map has rank `dimension` everywhere; `span` is the dimension of the smallest affine subspace
    that holds the vectors.
    """

    name: str
    dimension: int
    span: int
    ambient: int
    draw: Callable[[np.random.Generator, int], Floats]
    embed: Callable[[Floats], Floats]

    def sample(self, n: int, *, noise: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
        """Draw n vectors with Gaussian noise, its deviation a share of the columns' (root mean square)."""
        if n < 1:
            raise LoraeError(f"n: got {n}, expected at least 1 vector")
        if not noise >= 0:
            raise LoraeError(f"noise: got {noise:g}, expected a share of the standard deviation, at least 0")
        generator = np.random.default_rng(seed)
        points = self.embed(self.draw(generator, n))
        deviation = np.sqrt(points.var(axis=0).mean())
        noisy: Floats = points + noise * deviation * generator.standard_normal(points.shape)
        return noisy.astype(np.float32)


def build_manifold(name: str, dimension: int, ambient: int = AMBIENT, *, seed: int = 0) -> Manifold:
    """Build a manifold in a random subspace that the seed fixes.

    linear: Gaussian coordinates in a plane; swiss-roll: 2 dimensions rolled up in 3; warped: t, uniform in [-1, 1]^d,
    mapped to [t, sin(2 t A), (t B)^2].

    >>> build_manifold("warped", 5).sample(100).shape
    (100, 60)
    """
    if name not in _BUILDERS:
        raise unknown_name("manifold", name, _BUILDERS)
    if dimension < 1:
        raise LoraeError(f"dimension: got {dimension}, expected at least 1")
    if name == "swiss-roll" and dimension != 2:
        raise LoraeError(f"dimension: got {dimension}, expected 2 for the swiss-roll")
    span = {"linear": dimension, "swiss-roll": 3, "warped": 3 * dimension}[name]
    if ambient < span:
        raise LoraeError(f"ambient: got {ambient}, expected at least {span} for {name} of dimension {dimension}")
    # Another stream than in `sample`: the same seed there must not draw the entries of the matrices again.
    generator = np.random.default_rng([seed, 1])
    draw, features = _BUILDERS[name](generator, dimension)
    # A uniformly random orthonormal frame embeds the features and keeps their distances.
    Q, R = np.linalg.qr(generator.standard_normal((ambient, span)))
    frame: Floats = (Q * np.sign(np.diag(R))).T
    return Manifold(name, dimension, span, ambient, draw, lambda t: features(t) @ frame)


Parts = tuple[Callable[[np.random.Generator, int], Floats], Callable[[Floats], Floats]]


def _linear(_: np.random.Generator, dimension: int) -> Parts:
    return (lambda generator, n: generator.standard_normal((n, dimension))), (lambda t: t)


def _swiss_roll(_: np.random.Generator, __: int) -> Parts:
    def draw(generator: np.random.Generator, n: int) -> Floats:
        # An angle over three half turns, and a height as large as the width of the roll.
        return generator.uniform([1.5 * np.pi, 0.0], [4.5 * np.pi, 21.0], (n, 2))

    def features(t: Floats) -> Floats:
        angle, height = t.T
        return np.stack([angle * np.cos(angle), height, angle * np.sin(angle)], axis=1)

    return draw, features


def _warped(generator: np.random.Generator, dimension: int) -> Parts:
    # Entries of this size keep t A and t B of one size, whatever the dimension: waves of about one turn.
    A, B = generator.standard_normal((2, dimension, dimension)) / np.sqrt(dimension)

    def features(t: Floats) -> Floats:
        return np.concatenate([t, np.sin(2 * t @ A), np.square(t @ B)], axis=1)

    return (lambda generator, n: generator.uniform(-1, 1, (n, dimension))), features


_BUILDERS: dict[str, Callable[[np.random.Generator, int], Parts]] = {
    "linear": _linear,
    "swiss-roll": _swiss_roll,
    "warped": _warped,
}
