"""The autoencoder: encoder, bottleneck and decoder, and the methods of a trained model."""

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lorae.errors import LoraeError
from lorae.isolation import isolated
from lorae.metrics.ranks import rank_at
from lorae.metrics.spectrum import TOLERANCE, Spectrum
from lorae.models.accepted_items import accepted_items
from lorae.models.bottlenecks import IdentityBottleneck, Latent, get_bottleneck
from lorae.models.chunks import in_chunks, spectrum_of
from lorae.models.low_rank import numerical_rank
from lorae.models.networks import Encoder, MissingEncoder, apply_spectral_norm
from lorae.models.own_networks import OwnNetworks
from lorae.models.scaling import Scaling as Scaling
from lorae.models.spec import ModelSpec as ModelSpec
from lorae.models.spec import build_pair
from lorae.models.truncation import PrincipalTruncation, find_truncation
from lorae.randomness import drawing_from
from lorae.validation import whole

Array = TypeVar("Array", Tensor, NDArray[Any])

# Initial entry of M for the last principal component of a residual network, relative to that for the first: different
# enough to order them, large enough to stand out from noise on the latent.
LAST_COMPONENT = 0.5


@dataclass(frozen=True)
class Forward:
    """One pass: encoder output h (n, latent_dim), latent, and the reconstruction x_hat, shaped like the input."""

    h: Tensor
    latent: Latent
    x_hat: Tensor


class Autoencoder(nn.Module):
    """Encoder, bottleneck and decoder, with a scaling of raw items in front.

    `encode`, `decode` and `reconstruct` take arrays or tensors of any number of items and return the same kind.

    Examples
    --------
    >>> model = Autoencoder(ModelSpec("mlp", (6,), latent_dim=2))
    >>> model.encode(np.zeros((5, 6), np.float32)).shape
    (5, 2)
    """

    # Prepares raw items of other shapes and dtypes as training did; `lorae.load` sets it.
    prepare: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    # Reads items of any kind that training reads, such as tables and files; `lorae.load` sets it.
    read: Callable[[Any], NDArray[Any]] | None = None

    def __init__(self, spec: ModelSpec, networks: OwnNetworks | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.networks = networks
        self.scaling = Scaling(spec.shape, images=spec.images)
        # The networks first: with one seed they start alike for every bottleneck.
        bottleneck = get_bottleneck(spec.bottleneck)
        encoder, self.decoder = build_pair(spec, bottleneck.input_width(spec.latent_dim), networks)
        self.encoder: Encoder | MissingEncoder = encoder if spec.encodes else MissingEncoder()
        self.bottleneck = bottleneck(spec.latent_dim, **spec.bottleneck_options)
        if spec.spectral_norm:
            apply_spectral_norm(self.decoder)

    def build_encoder(self, outputs: int) -> Encoder:
        """Return a new encoder of this kind, with its own initial weights and another number of outputs."""
        return build_pair(self.spec, outputs, self.networks)[0]

    @classmethod
    def from_modules(
        cls,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        shape: tuple[int, ...],
        latent_dim: int,
        bottleneck: str = "linear",
        bottleneck_options: dict[str, Any] | None = None,
        tensors: bool = False,
    ) -> "Autoencoder":
        """Return a model made of copies of two modules, with a bottleneck between them.

        Parameters
        ----------
        encoder : torch module
            Maps scaled items, float32 (n, *shape), to (n, latent_dim).
        decoder : torch module
            Maps latents, float32 (n, latent_dim), to (n, *shape).
        shape : tuple of int
            Shape of an item: (d,), (c, t), (c, h, w), ...
        latent_dim : int
            Width of the latent.
        bottleneck : str, default="linear"
            Name of a bottleneck; `linear` is LoRAE's matrix M, `identity` a plain autoencoder.
        bottleneck_options : dict, default=None
            Options of the bottleneck, as in `{"init": "identity"}`.
        tensors : bool, default=False
            Take items of three axes as plain numbers, which are standardized, and not as images.

        Returns
        -------
        Autoencoder
            With `encode`, `decode`, `spectrum`, `collapse` and `truncate`. Vectors and tensors are not scaled before
            `model.scaling.fit(items)`.

        Raises
        ------
        LoraeError
            If a module does not fit the shapes.

        Examples
        --------
        >>> encoder = nn.Sequential(nn.Flatten(), nn.Linear(40, 4))
        >>> decoder = nn.Sequential(nn.Linear(4, 40), nn.Unflatten(1, (2, 20)))
        >>> model = Autoencoder.from_modules(encoder, decoder, shape=(2, 20), latent_dim=4)
        >>> model.encode(np.zeros((5, 2, 20), np.float32)).shape
        (5, 4)
        """
        networks = OwnNetworks.from_modules(encoder, decoder)
        given: dict[str, Any] = {"bottleneck": bottleneck, "bottleneck_options": bottleneck_options or {}}
        own = networks.source(latent_dim)
        spec = ModelSpec(networks.name, tuple(shape), latent_dim, tensors=tensors, own=own, **given)
        return cls(spec, networks)

    @classmethod
    @isolated()
    def initialized(cls, spec: ModelSpec, seed: int = 0, networks: OwnNetworks | None = None) -> "Autoencoder":
        """Return a model whose weights a seed alone decides, drawn beside torch's global generator."""
        with drawing_from(torch.Generator("cpu").manual_seed(seed), everything=True):
            return cls(spec, networks)

    def forward(self, x: Tensor) -> Forward:
        """Encode and decode scaled items x, float (n, c, h, w) or (n, d)."""
        h = self.encoder(x)
        latent = self.bottleneck(h)
        return Forward(h, latent, self.decoder(latent.z))

    def calibrate(self, items: NDArray[Any]) -> None:
        """Rescale the encoder's last layer so that its outputs on raw items have mean 0 and deviation 1.

        A normalization after the encoder divides the effect of a step by the size of the outputs: without calibration
        the initial outputs are small, and the first updates would change them far too much. Requires a bottleneck with
        one matrix M. A residual network that is the PCA of its items remains so.
        """
        if isinstance(self.encoder, MissingEncoder):
            return
        h = torch.as_tensor(np.asarray(self.encoder_outputs(items)), device=self.scaling.scale.device)
        deviation = h.std(0, correction=0)
        # A coordinate that hardly varies holds rounding noise, which must not be scaled to a deviation of one.
        deviation = deviation.clamp_min(max(1e-3 * float(deviation.max()), torch.finfo(h.dtype).tiny))
        output, taken = self.encoder.output, self.decoder.input
        with torch.no_grad():
            output.weight.div_(deviation[:, None])
            output.bias.copy_((output.bias - h.mean(0)) / deviation)
            if self.spec.network in ("residual", "linear"):
                # M orders the components, so that a bound on its rank removes the last ones first; the decoder
                # compensates for both changes, so that the model computes the same function.
                order = torch.linspace(1, LAST_COMPONENT, len(deviation), dtype=h.dtype, device=h.device)
                self.bottleneck.single_matrix().copy_(order.diag())
                taken.bias.add_(taken.weight @ h.mean(0))
                taken.weight.mul_(deviation / order)

    def encode(self, items: Array) -> Array:
        """Return latents, float32 (n, latent_dim), of raw images (n, c, h, w), uint8 or float, or vectors (n, d)."""
        return self.in_chunks(self._encode, self._accepted(items), self.spec.shape)

    def encoder_outputs(self, items: Array) -> Array:
        """Return the encoder's outputs before the bottleneck, float32 (n, input_dim), of raw items."""
        return self.in_chunks(lambda x: self.encoder(self.scaling(x)), self._accepted(items), self.spec.shape)

    def decode(self, latents: Array) -> Array:
        """Return images in [0, 1] (not clipped) or vectors in their own units, of latents (n, latent_dim).

        float32, or float64 for vectors so far from zero that float32 has too few digits.
        """
        return self.in_chunks(lambda z: self.scaling.inverse(self.decoder(z)), latents, (self.spec.latent_dim,))

    def reconstruct(self, items: Array) -> Array:
        """Return `decode(encode(items))`, computed in one pass."""
        return self.in_chunks(
            lambda x: self.scaling.inverse(self.decoder(self._encode(x))), self._accepted(items), self.spec.shape
        )

    def spectrum(self, items: Array, split: str = "given", tolerance: float = TOLERANCE) -> Spectrum:
        """Return the `Spectrum` of the latent covariance over raw items; `split` names them in the result."""
        return spectrum_of(self.encode, items, split, tolerance)

    def squared_error(self, items: Array, weights: NDArray[np.float64] | None = None) -> float:
        """Return the mean squared error over all entries, float64: images in [0, 1], vectors in standardized units."""
        return float(np.average(self.squared_errors(items), weights=weights))

    def squared_errors(self, items: Array) -> NDArray[np.float64]:
        """Return the mean squared error of each item (n,), in the units of `squared_error`."""

        def errors(x: Tensor) -> Tensor:
            scaled = self.scaling(x)
            error: Tensor = (self(scaled).x_hat - scaled).double()
            return error.square().flatten(1).mean(1)

        return np.asarray(self.in_chunks(errors, self._accepted(items), self.spec.shape))

    def matrix_rank(self, tolerance: float = TOLERANCE) -> int | None:
        """Count the singular values of M above `tolerance` times the largest; None without a linear bottleneck."""
        values = self.singular_values()
        return None if values is None else rank_at(values, tolerance)

    def singular_values(self) -> NDArray[np.float64] | None:
        """Return singular values of M, descending, float64 (latent_dim,); None without a linear bottleneck."""
        matrix = self.bottleneck.matrix()
        return None if matrix is None else torch.linalg.svdvals(matrix.detach().double()).cpu().numpy()

    @isolated()
    def collapse(self) -> "Autoencoder":
        """Return a copy with M, if there is one, folded into the encoder's last layer in float64: the same outputs."""
        collapsed = copy.deepcopy(self)
        affine = self.bottleneck.affine()
        if affine is None or isinstance(collapsed.encoder, MissingEncoder):
            return collapsed
        matrix, offset = affine
        collapsed.spec = dataclasses.replace(self.spec, bottleneck="identity", bottleneck_options={})
        collapsed.bottleneck = IdentityBottleneck(self.spec.latent_dim)
        with torch.no_grad():
            output = collapsed.encoder.output
            output.weight.copy_(matrix @ output.weight.double())
            output.bias.copy_(matrix @ output.bias.double() + offset)
        return collapsed

    def truncate(
        self, items: Array, rank: int | None = None, weights: NDArray[np.float64] | None = None
    ) -> "Autoencoder":
        """Return a smaller copy without M, whose latent has one coordinate for each direction that is kept.

        The directions are the `rank` leading principal axes of the latents of `items`, within the range of M: codes are
        centered, uncorrelated and ordered by deviation over these items. Dropped directions are decoded at their means.

        Parameters
        ----------
        items : array
            Raw training items, at least two, better a few times as many as latent_dim.
        rank : int, default=None
            None keeps singular values of M above 1e-6 of the largest, so that reconstructions stay the same.
        weights : array of shape (n,), default=None

        Raises
        ------
        LoraeError
            For no M, an M that is zero, spectral norms in the decoder, a rank below 1 or above latent_dim.

        Examples
        --------
        >>> spec = ModelSpec("mlp", (6,), latent_dim=4, bottleneck="linear")
        >>> items = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
        >>> Autoencoder(spec).truncate(items, rank=2).encode(items).shape
        (50, 2)
        """
        return self.truncated(self.find_truncation(items, rank, weights))

    def truncation_rank(self, rank: int | None = None) -> int:
        """Return the number of directions that a truncation keeps: `rank`, or the numerical rank of M for None.

        Raises LoraeError for the same models and ranks as `truncate`, whose decoder would change spectral norms.
        """
        matrix = self.bottleneck.matrix()
        if matrix is None:
            raise LoraeError(
                f"truncate: {type(self.bottleneck).__name__} has no matrix M to cut, expected a linear bottleneck"
            )
        if self.spec.spectral_norm:
            raise LoraeError("truncate: the decoder divides its weights by spectral norms, expected one that does not")
        kept = numerical_rank(matrix.detach())
        return kept if rank is None else int(whole(1, len(matrix)).check("rank", rank, "argument rank"))

    @isolated()
    def find_truncation(
        self, items: Array, rank: int | None = None, weights: NDArray[np.float64] | None = None
    ) -> PrincipalTruncation:
        """Find the principal axes that `truncate` keeps, of the latents of raw items; same arguments and errors."""
        rank = self.truncation_rank(rank)  # a model that cannot be truncated is refused before items are encoded
        return self.truncation_of(np.asarray(self.encoder_outputs(items)), rank, weights)

    @isolated()
    def truncation_of(
        self, encoder_outputs: NDArray[Any], rank: int | None = None, weights: NDArray[np.float64] | None = None
    ) -> PrincipalTruncation:
        """Find the principal axes that `truncate` keeps, for items whose `encoder_outputs` (n, input_dim) are given."""
        outputs = torch.as_tensor(encoder_outputs)
        return find_truncation(outputs, self.bottleneck, self.truncation_rank(rank), weights)

    def latents_of(self, encoder_outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the latents (n, latent_dim) of given `encoder_outputs` (n, input_dim)."""
        width = encoder_outputs.shape[1:]
        return self.in_chunks(lambda h: self.bottleneck(h).z, encoder_outputs, width)

    @isolated()
    def truncated(self, truncation: PrincipalTruncation) -> "Autoencoder":
        """Return a copy with a truncation folded into the encoder's last layer and the decoder's first."""
        assert isinstance(self.encoder, Encoder)
        small = copy.deepcopy(self)
        small.spec = dataclasses.replace(
            self.spec, latent_dim=truncation.rank, bottleneck="identity", bottleneck_options={}
        )
        small.bottleneck = IdentityBottleneck(truncation.rank)
        assert isinstance(small.encoder, Encoder)
        small.encoder.output = truncation.fold_into_encoder(self.encoder.output)
        small.decoder.input = truncation.fold_into_decoder(self.decoder.input)
        return small.train(self.training)

    def parameter_counts(self) -> dict[str, int]:
        """Return the numbers of trainable parameters of encoder, bottleneck and decoder."""
        parts = {"encoder": self.encoder, "bottleneck": self.bottleneck, "decoder": self.decoder}
        return {name: sum(p.numel() for p in part.parameters() if p.requires_grad) for name, part in parts.items()}

    def _encode(self, x: Tensor) -> Tensor:
        latent: Latent = self.bottleneck(self.encoder(self.scaling(x)))
        return latent.z

    def _accepted(self, items: Array) -> Array:
        return accepted_items(items, self.spec, self.prepare, self.read)

    def in_chunks(self, function: Callable[[Tensor], Tensor], items: Array, shape: tuple[int, ...]) -> Array:
        """Return a function's results on items (n, *shape), computed chunk by chunk in evaluation mode, on the CPU.

        Items are an array, a tensor, or in a file; these give an array.
        """
        if tuple(items.shape[1:]) != shape:
            expected = "x".join(map(str, ("n", *shape)))
            raise LoraeError(f"shape: got {'x'.join(map(str, items.shape))}, expected {expected} (from this model)")
        training, device = self.training, self.scaling.scale.device
        self.eval()
        try:
            result = in_chunks(function, items, shape, device)
        finally:
            self.train(training)
        return result.clone() if isinstance(items, Tensor) else result.numpy()
