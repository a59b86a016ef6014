"""The density that every sampler fits: a mixture of Gaussians (or of one) in a subspace of the latent space."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.errors import CollapsedError, DivergedError, LoraeError, NotApplicableError
from lorae.isolation import isolated
from lorae.linalg import principal_axes
from lorae.system.faults import reason_of
from lorae.system.files import read_file, write_atomically
from lorae.system.memory import check_unpacked
from lorae.system.records import parse_record

Array = NDArray[np.float64]

# Directions with less than this share of the largest variance are left out: they are rounding in a low-rank latent, and
# a covariance over them is singular. Their share of the variance is `dropped`.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Subspace:
    """The principal directions that latents vary in: z is near origin + basis y with y of width r.

    origin (l,), basis (l, r) with orthonormal columns, descending in variance; scale: the largest standard deviation;
    dropped: the share of the variance that lies outside.
    """

    origin: Array
    basis: Array
    scale: float
    dropped: float

    @classmethod
    def of(cls, latents: NDArray[Any], tolerance: float = TOLERANCE) -> "Subspace":
        """Return the subspace of latents (n, l) whose variances exceed `tolerance` times the largest."""
        latents = np.asarray(latents, dtype=np.float64)
        if latents.ndim != 2 or len(latents) < 2:
            raise NotApplicableError(
                f"latents: got shape {latents.shape}, expected (n, latent_dim) with n of at least 2"
            )
        if not np.isfinite(latents).all():
            raise DivergedError("latents: got values that are not finite, expected finite ones; the model has diverged")
        origin, directions, variances = principal_axes(latents)
        kept = variances > tolerance * variances[0]
        if not kept.any() or (latents == latents[0]).all():  # the mean has rounding errors
            raise CollapsedError(
                "latents: all are the same, expected different ones to fit a density to: the model has collapsed; "
                "train it longer, with a smaller penalty or with another seed"
            )
        dropped = float(variances[~kept].sum() / variances.sum())
        return cls(origin, np.ascontiguousarray(directions[:, kept]), float(np.sqrt(variances[0])), dropped)

    def project(self, latents: NDArray[Any]) -> Array:
        """Return coordinates (n, r) of latents (n, l), the largest direction at standard deviation 1."""
        coordinates: Array = (np.asarray(latents, dtype=np.float64) - self.origin) @ self.basis / self.scale
        return coordinates

    def lift(self, coordinates: Array) -> Array:
        """Return the latents (n, l) of coordinates (n, r); the inverse of `project` on the subspace."""
        latents: Array = self.origin + self.scale * coordinates @ self.basis.T
        return latents


@dataclass(frozen=True)
class Density:
    """A fitted density: weights (k,), means (k, r) and lower factors (k, r, r) of covariances, in a subspace.

    sampler: the name it was fitted by; notes: plain values for the protocol of what is made with it.
    """

    sampler: str
    subspace: Subspace
    weights: Array
    means: Array
    factors: Array
    notes: dict[str, Any] = field(default_factory=dict)

    @isolated()
    def sample(self, n: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return n latents, float32 (n, l); the generator alone decides them."""
        components = generator.choice(len(self.weights), size=n, p=self.weights)
        noise = generator.standard_normal((n, self.means.shape[1]))
        coordinates = self.means[components]
        for index, factor in enumerate(self.factors):
            chosen = components == index
            coordinates[chosen] += noise[chosen] @ factor.T
        return self.subspace.lift(coordinates).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Return a description for a protocol, as plain values."""
        latent_dim, rank = self.subspace.basis.shape
        return {
            "sampler": self.sampler,
            "components": len(self.weights),
            "directions": f"{rank} of {latent_dim}",
            "variance dropped": self.subspace.dropped,
            **self.notes,
        }

    def save(self, path: Path) -> None:
        """Write everything as plain arrays (an .npz that needs no pickle)."""
        content = io.BytesIO()
        arrays = vars(self) | vars(self.subspace) | {"notes": json.dumps(self.notes)}
        del arrays["subspace"]
        np.savez(content, **arrays)
        write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Density":
        """Read the density that `save` wrote."""
        try:
            content = read_file(path)
            check_unpacked(io.BytesIO(content), "its arrays")
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                space = Subspace(arrays["origin"], arrays["basis"], float(arrays["scale"]), float(arrays["dropped"]))
                weights, means, factors = arrays["weights"], arrays["means"], arrays["factors"]
                notes = parse_record(str(arrays["notes"]), dict, "notes")
                k, r = means.shape
                shapes = [space.origin.shape, weights.shape, factors.shape]
                if shapes != [space.basis.shape[:1], (k,), (k, r, r)] or space.basis.shape[1:] != (r,):
                    raise ValueError("arrays of several widths")
                return cls(str(arrays["sampler"]), space, weights, means, factors, notes)
        except Exception as error:  # NumPy raises many kinds for a damaged file
            raise LoraeError(
                f"{path}: not a density that lorae saved ({reason_of(error)}); delete it to fit it anew"
            ) from None
