"""Every setting of a training run, with its default and the reason for it.

The fields are the flags of the command line, the keys of a YAML file, the keyword arguments of `lorae.train`, and the
keys of `config.json`. This module imports no torch.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from lorae import validation as rules
from lorae.config.data_settings import ARRAY as ARRAY
from lorae.config.data_settings import RENAMED as RENAMED
from lorae.config.data_settings import DataSettings
from lorae.config.data_settings import use_current_names as use_current_names
from lorae.config.methods import method_names, option_names, weight_names
from lorae.validation import setting

# Value of `network` for modules in memory, which are passed beside the settings.
MODULES = "modules"

# Value of `epochs`: the training chooses its end.
AUTO = "auto"

# Settings that choose the rank; at most one of them is given.
RANK_GOALS = ("rank", "target_mse", "penalty_path")


# Layers of one kind; each is built as a module, however small it is.
MOST_LAYERS = 1000


def _option_rule(name: str) -> rules.Rule:
    """Return the rule of a bottleneck's option: a size, except for a noise's deviation and nested dropout's rate."""
    special = {"noise": rules.real(0.0), "rate": rules.real(0.0, 1.0), "layers": rules.whole(1, MOST_LAYERS)}
    return special.get(name, rules.whole(1))


@dataclass(frozen=True, kw_only=True)
class Settings(DataSettings):
    """Settings of a run; `config.resolution.resolve` replaces each None by the default of the method or the data."""

    method: str = setting("lorae", rules.choice(*method_names()), "method to train, see `lorae methods`")
    penalty: float | None = setting(None, rules.real(0.0), "weight of the method's own penalty (the paper's lambda)")
    penalties: dict[str, float] = setting(
        {},
        rules.mapping("penalties", "penalty to weight", weight_names, lambda _: rules.real(0.0)),
        "weights of further penalties and of the method's own terms, by name",
    )
    bottleneck: dict[str, float] = setting(
        {},
        rules.mapping("bottleneck", "option to number", option_names, _option_rule),
        "numeric options of the method's bottleneck, such as --bottleneck.rank 8",
    )
    # Goals for the rank, at most one of them. They need proximal steps, as lorae+ takes.
    rank: int | float | str | None = setting(
        None,
        rules.wanted_rank(),
        "rank of M: a number, a share of the variance (the smallest rank that keeps it), or auto (the smallest rank "
        "before errors rise steeply), see docs/numerics.md",
    )
    target_mse: float | None = setting(
        None,
        rules.real(0.0, exclusive=True),
        "choose the smallest rank whose error on held-out training items stays below this",
    )
    penalty_path: tuple[float, float, int] | None = setting(
        None,
        rules.ascending_range(9),
        "train at a sequence of penalties, LOW:HIGH or LOW:HIGH:POINTS (9 by default), each continued from the one "
        "before: gives the curve of rank and error, and a model at every point",
    )
    # The model.
    latent_dim: int | None = setting(
        None,
        rules.whole(1),
        "width of the latent; by default 128 as in the paper, 16 for ae-small, at most the width of vectors",
    )
    network: str | None = setting(
        None,
        rules.choice_or_function("mnist", "celeba", "resnet", "mlp", "residual", "linear", MODULES),
        "network: the paper's mnist or celeba for images, resnet for images of any sides, mlp for vectors; for both, "
        "residual (starts as PCA, plus mnist or mlp) and linear (PCA alone); or FILE.py:NAME of a function that makes "
        "your own from (shape, latent_dim); default: that of a named data set, residual for your own data if the "
        "method allows it",
    )
    width: float = setting(1.0, rules.real(0.0, 16.0, exclusive=True), "factor on the network's channel counts")
    depth: int | None = setting(
        None,
        rules.whole(1, MOST_LAYERS),
        "residual blocks at each resolution of the network resnet; 1 by default, the fastest",
    )
    matrix_init: str | None = setting(
        None,
        rules.choice("default", "identity", "orthogonal"),
        "initialization of M: identity (for lorae), default (torch's, as in the authors' code; for irmae), orthogonal",
    )
    normalize: str | None = setting(
        None,
        rules.choice("none", "scale", "coordinates"),
        "normalization of the encoder's output before M, so that a larger output cannot evade the penalty: none, scale "
        "(one standard deviation for all), or coordinates (one for each coordinate); default by the method",
    )
    matrix_update: str | None = setting(
        None,
        rules.choice("adam", "prox"),
        "optimizer of M: adam as in the paper, or prox, whose steps make singular values exactly zero; default by the "
        "method",
    )
    penalty_every: int = setting(
        1,
        rules.whole(1),
        "steps between two linearizations of a penalty on M alone, such as nuclear: 1 as in the paper; try 10 for wide "
        "latents on a CPU, where the penalty may take longer than the rest of a step",
    )
    vector_scale: str = setting(
        "columns",
        rules.choice("columns", "whole", "none"),
        "scaling of vectors: divide each column by its standard deviation, since units may differ, or all by one, as "
        "in PCA, or none",
    )
    # Training; the paper's values.
    epochs: int | str | None = setting(
        None,
        rules.whole_or(1, "auto"),
        "passes over the training data, or auto: until the loss of held-out training items has stopped falling, for "
        "vectors then PCA unless the network is better; by default the paper's 100 for celeba and its 50 for MNIST "
        "otherwise, or more until they make 2,000 steps",
    )
    patience: int | None = setting(
        None,
        rules.whole(1),
        "with epochs auto: epochs without a smaller held-out loss after which training stops; by default a tenth of "
        "the default number of epochs",
    )
    batch_size: int = setting(
        32, rules.whole(1), "items in a step, of all processes together with several; 32 as in the paper"
    )
    accumulate: int = setting(
        1,
        rules.whole(1),
        "parts in which a batch is computed, one after the other: less memory and the same result, in about a third "
        "more time; 1 since batches are small by default",
    )
    lr: float | None = setting(
        None, rules.real(0.0, exclusive=True), "learning rate of Adam; by default the paper's 1e-3, and 2e-4 for GANs"
    )
    schedule: str | None = setting(
        None,
        rules.choice("constant", "cosine"),
        "schedule of the learning rate; constant as in the paper, cosine for lorae+",
    )
    penalty_warmup: float | None = setting(
        None,
        rules.real(0.0),
        "epochs over which penalties grow to full weight; 0 as in the paper, 1 for penalties that are not convex",
    )
    reconstruction: str | None = setting(
        None,
        rules.choice("mean", "sum"),
        "reconstruction error: mean over all entries as in the authors' code, or sum over an item as in the paper's "
        "equation; default by the method",
    )
    likelihood: str | None = setting(
        None,
        rules.choice("gaussian", "bernoulli"),
        "likelihood of the reconstruction: squared error, or cross-entropy of pixels; default by the method",
    )
    noise: float | None = setting(
        None, rules.real(0.0), "standard deviation of noise on the encoder's input; default by the method"
    )
    clip_gradients: float | None = setting(
        None,
        rules.real(0.0, exclusive=True),
        "largest norm of the gradient of all weights in a step, to which larger ones are scaled down; by default they "
        "are left as they are, as in the paper: Adam's steps depend little on the gradient's size",
    )
    seed: int = setting(0, rules.whole(0, 2**31 - 1), "seed of the weights, the order of batches and the noise")
    # The machine.
    device: str = setting("auto", rules.choice("auto", "cpu", "cuda"), "cpu or cuda; auto uses a GPU if there is one")
    precision: str = setting(
        "auto",
        rules.choice("auto", "float32", "bfloat16"),
        "precision of the convolutions in training; auto chooses by the hardware. Latents and M are always float32",
    )
    capture: str = setting(
        "auto",
        rules.choice("auto", "off"),
        "auto: record the training step as a CUDA graph on a GPU, unless a penalty reads values back; off: never",
    )
    track: tuple[str, ...] | None = setting(
        None,
        rules.names_of("tensorboard", "wandb", "mlflow"),
        "trackers that show the training, with commas between them: tensorboard (in the run folder), wandb, mlflow",
    )
    log_every: int = setting(100, rules.whole(1), "steps between two lines of stats.jsonl")
    checkpoint_every: int = setting(
        500, rules.whole(1), "steps between two checkpoints; 500 take about 10 s on MNIST on 2 cores"
    )

    @property
    def own_network(self) -> bool:
        """Whether the networks are the user's: modules, or made by a function of a file."""
        return self.network is not None and (self.network == MODULES or ":" in self.network)

    @property
    def measures_ranks(self) -> bool:
        """Whether training measures errors to choose the rank; a given rank needs none."""
        searched = self.rank is not None and not isinstance(self.rank, int)
        return searched or self.target_mse is not None or self.penalty_path is not None

    @property
    def holds_out(self) -> bool:
        """Whether training sets some training items aside, for errors that choose the rank or the end."""
        return self.measures_ranks or self.epochs == AUTO

    def with_machine(self, device: str, precision: str) -> "Settings":
        """Return the settings with `auto` replaced by a device and a precision."""
        return dataclasses.replace(self, device=device, precision=precision)

    def to_json(self) -> dict[str, Any]:
        """Return every field as a plain JSON value."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
