"""Training that goes on from a finished model, and the items that judge it: those that it was not trained on."""

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorae.config.settings import Settings
from lorae.isolation import isolated
from lorae.models.autoencoder import Autoencoder
from lorae.models.bottlenecks import get_bottleneck
from lorae.models.linear_path import without_continuation
from lorae.training.builders import bottleneck_options


@dataclass(frozen=True)
class Continuation:
    """A finished network for items as another fit takes them, and which of these it was trained on, bool (n,)."""

    model: Autoencoder
    seen: NDArray[np.bool_]

    def set_aside(self, order: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows that choose among weights and as many that judge them, of at most so many, first in an order.

        Both were not trained on. The same ones cannot do both: a choice flatters itself.
        """
        unseen = order[~self.seen[order]][:most]
        return np.sort(unseen[::2]), np.sort(unseen[1::2])

    @isolated()
    def restarted(self, settings: Settings, items: NDArray[Any]) -> Autoencoder:
        """Return a copy with a matrix M between encoder and decoder, for another training on raw items (n, ...).

        It computes the same: M is diagonal, as in a new network, and the layers beside it undo that.
        """
        model = without_continuation(self.model)
        options = bottleneck_options(settings)
        model.spec = dataclasses.replace(model.spec, bottleneck="linear", bottleneck_options=options)
        model.bottleneck = get_bottleneck("linear")(model.spec.latent_dim, **options)
        in_float64 = copy.deepcopy(model.scaling)
        model.float()
        model.scaling.shift, model.scaling.scale = in_float64.shift, in_float64.scale
        model.to(settings.device)
        model.calibrate(items)
        return model.train()
