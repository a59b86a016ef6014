"""Every setting of a training run, its default and the reason for it, in one flat table.

The command line's flags, the keys of a YAML file, the keyword arguments of `lorae.train` and `config.json` are
all these fields. This module imports no torch.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lorae import validation as rules
from lorae.config.methods import METHODS, TERMS, Method, get_method, option_names, weight_names
from lorae.errors import LoraeError
from lorae.penalties import matrix_penalties, penalty_names
from lorae.validation import setting

# The settings by which a user chooses a rank.
RANK_GOALS = ("rank", "target_mse", "penalty_path")


def _option_rule(name: str) -> rules.Rule:
    """Options of bottlenecks are sizes, but for the deviation of a noise and the rate of nested dropout."""
    special = {"noise": rules.real(0.0), "rate": rules.real(0.0, 1.0)}
    return special.get(name, rules.whole(1))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run; None stands for "as the method and the data ask" until `resolve`."""

    # What is trained on what.
    data: str = setting(
        "mnist",
        rules.text(),
        "mnist, fashion-mnist, celeba, shapes, shapes-grey, a folder of images, an .npy or .npz file",
    )
    method: str = setting("lorae", rules.choice(*METHODS), "a method of the zoo, see `lorae methods`")
    penalty: float | None = setting(
        None, rules.optional(rules.real(0.0)), "weight of the method's own penalty (the paper's lambda)"
    )
    penalties: dict[str, float] = setting(
        {},
        rules.mapping("penalties", "penalty to weight", weight_names, lambda _: rules.real(0.0)),
        "weights of further penalties and of the method's own terms, by name",
    )
    bottleneck: dict[str, float] = setting(
        {},
        rules.mapping("bottleneck", "option to number", option_names, _option_rule),
        "numbers of the method's bottleneck, as in --bottleneck.rank 8",
    )
    # The rank, in the user's terms; at most one of these. They need proximal steps, which lorae+ takes.
    rank: int | float | str | None = setting(
        None,
        rules.optional(rules.wanted_rank()),
        "the rank itself, the share of the variance to keep (the smallest rank that does), or auto, which needs no "
        "search: see docs/numerics.md",
    )
    target_mse: float | None = setting(
        None,
        rules.optional(rules.real(0.0, exclusive=True)),
        "the smallest rank whose error on training items set aside stays below this",
    )
    penalty_path: tuple[float, float, int] | None = setting(
        None,
        rules.optional(rules.ascending_range(9)),
        "penalties LOW:HIGH or LOW:HIGH:POINTS (9 by default), each started from the one before: the curve of rank "
        "and error, and a model at every point",
    )
    # The model.
    latent_dim: int | None = setting(
        None,
        rules.optional(rules.whole(1)),
        "width of the latent; 128 as in the paper, 16 for ae-small, at most the width of vectors",
    )
    network: str | None = setting(
        None,
        rules.optional(rules.choice("mnist", "celeba", "mlp", "residual")),
        "the paper's networks for MNIST or CelebA; for vectors an MLP, or residual: PCA plus an MLP; by the data",
    )
    width: float = setting(1.0, rules.real(0.0, 16.0, exclusive=True), "factor on the network's channel counts")
    matrix_init: str | None = setting(
        None,
        rules.optional(rules.choice("default", "identity", "orthogonal")),
        "start of M: identity for lorae; default is torch's own, as in the authors' code and for irmae",
    )
    normalise: str | None = setting(
        None,
        rules.optional(rules.choice("none", "scale", "coordinates")),
        "what the encoder's output is divided by before M, so that its size cannot dodge the penalty: nothing, one "
        "deviation, or one for each coordinate; by the method",
    )
    matrix_update: str | None = setting(
        None,
        rules.optional(rules.choice("adam", "prox")),
        "how M is trained: adam as in the paper, or prox, whose steps make singular values exactly zero; by the method",
    )
    penalty_every: int = setting(
        1,
        rules.whole(1),
        "steps between two looks at a penalty of M alone, such as nuclear, whose slope is held in between: 1 as in the "
        "paper; 10 for wide latents on a CPU, where a look may take longer than a step",
    )
    vector_scale: str = setting(
        "columns",
        rules.choice("columns", "whole"),
        "what vectors are divided by: each column's deviation, as their units differ, or one for all, as PCA does",
    )
    # Training; the paper's values.
    epochs: int | None = setting(
        None,
        rules.optional(rules.whole(1)),
        "passes over the training data; the paper's 100 for celeba, its 50 for MNIST elsewhere",
    )
    batch_size: int = setting(32, rules.whole(1), "items in a step; the paper's 32")
    lr: float | None = setting(
        None,
        rules.optional(rules.real(0.0, exclusive=True)),
        "learning rate of Adam; the paper's 1e-3, 2e-4 for GANs",
    )
    schedule: str | None = setting(
        None,
        rules.optional(rules.choice("constant", "cosine")),
        "learning rate over time; constant as in the paper, cosine for lorae+",
    )
    penalty_warmup: float | None = setting(
        None,
        rules.optional(rules.real(0.0)),
        "epochs over which penalties grow to full weight; 0 as in the paper, 1 for penalties that are not convex",
    )
    reconstruction: str | None = setting(
        None,
        rules.optional(rules.choice("mean", "sum")),
        "error: mean over all entries as in the authors' code, or sum over an item as the paper writes; by the method",
    )
    likelihood: str | None = setting(
        None,
        rules.optional(rules.choice("gaussian", "bernoulli")),
        "of the reconstruction: squared error, or cross-entropy of pixels; by the method",
    )
    noise: float | None = setting(
        None, rules.optional(rules.real(0.0)), "standard deviation of noise on the encoder's input; by the method"
    )
    seed: int = setting(0, rules.whole(0, 2**31 - 1), "fixes weights, order of batches and noise")
    # The data.
    data_root: str | None = setting(
        None, rules.optional(rules.text()), "folder with the raw files of mnist, fashion-mnist or celeba"
    )
    limit: int | None = setting(
        None, rules.optional(rules.whole(1)), "train on the first N items only; the test split stays whole"
    )
    size: int | None = setting(None, rules.optional(rules.whole(8)), "side of the images in pixels after resizing")
    crop: int | None = setting(
        None, rules.optional(rules.whole(1)), "side of the centre square cut out before resizing"
    )
    channels: int | None = setting(None, rules.optional(rules.one_of(1, 3)), "1 for grey, 3 for colour")
    factors: tuple[str, ...] | None = setting(None, rules.optional(rules.names()), "factors of `shapes` that vary")
    test_fraction: float = setting(
        0.1, rules.real(0.0, 1.0, exclusive=True), "share of the test split where the data has none of its own"
    )
    split_seed: int = setting(
        0, rules.whole(0), "fixes that split, and generated data; apart from `seed`, so that seeds share the data"
    )
    holdout: int | None = setting(
        None,
        rules.optional(rules.whole(2)),
        "training items, drawn by the split seed, that take the place of the test split: to choose settings by "
        "measures that never see the test items",
    )
    skip_bad: bool = setting(False, rules.switch(), "leave out image files that cannot be decoded")
    # The machine.
    device: str = setting("auto", rules.choice("auto", "cpu", "cuda"), "cpu or cuda; auto takes a GPU if any")
    precision: str = setting(
        "auto",
        rules.choice("auto", "float32", "bfloat16"),
        "of the convolutions in training; auto asks the hardware. Latents and M are always float32",
    )
    capture: str = setting(
        "auto",
        rules.choice("auto", "off"),
        "auto records the training step as a CUDA graph on a GPU, unless a penalty reads values back; off never does",
    )
    log_every: int = setting(100, rules.whole(1), "steps between two lines of stats.jsonl")
    checkpoint_every: int = setting(
        500, rules.whole(1), "steps between two checkpoints: about 10 s of MNIST on 2 cores"
    )

    @classmethod
    def from_values(cls, values: Mapping[str, Any], origin: Callable[[str], str]) -> "Settings":
        """Checked settings from plain values; `origin(name)` says where a value came from.

        Raises LoraeError, one line, for an unknown name or a value outside its rule.
        """
        return rules.checked(cls, values, origin)

    def _check_fit(self) -> None:
        method = get_method(self.method)
        if self.matrix_init is not None and method.bottleneck != "linear":
            raise LoraeError(f"matrix_init: got {self.matrix_init!r}, but method {self.method!r} has no matrix M")
        if self.normalise is not None and method.bottleneck != "linear":
            raise LoraeError(f"normalise: got {self.normalise!r}, but method {self.method!r} has no matrix M")
        for name in self.bottleneck:
            if name not in method.bottleneck_options:
                takes = ", ".join(option for option in method.bottleneck_options if option != "init") or "none"
                raise LoraeError(f"bottleneck.{name}: method {self.method!r} has no such option; it has {takes}")
        terms = set(TERMS) - set(method.weights)
        for name in self.penalties:
            if name in terms or (not method.encodes and name not in method.weights):
                own = ", ".join(method.weights) or "none"
                raise LoraeError(f"penalties.{name}: method {self.method!r} has no such term; its own are {own}")
        self._check_rank(method)
        if self.penalty is None:
            return
        if method.main is None:
            raise LoraeError(
                f"penalty: got {self.penalty:g}, but method {self.method!r} has no penalty of its own; "
                f"name one, as in --penalties.nuclear {self.penalty:g}"
            )
        if method.main in self.penalties:
            raise LoraeError(
                f"penalty: got {self.penalty:g} and penalties.{method.main} "
                f"{self.penalties[method.main]:g}, which are the same weight; expected one of them"
            )

    def _check_rank(self, method: Method) -> None:
        asked = [name for name in RANK_GOALS if getattr(self, name) is not None]
        if len(asked) > 1:
            raise LoraeError(f"{asked[1]}: got {getattr(self, asked[1])!r} beside {asked[0]}, expected one of them")
        proximal = (self.matrix_update or method.matrix_update) == "prox"
        if asked and not proximal:
            raise LoraeError(
                f"{asked[0]}: got {getattr(self, asked[0])!r}, which needs an exact rank; use --method lorae+, or "
                f"--matrix-update prox with --method lorae"
            )
        if self.penalty_path is not None and self.penalty is not None:
            raise LoraeError(f"penalty: got {self.penalty:g} beside penalty_path, whose points take its place")
        if self.penalty_path is not None and self.penalties.get("nuclear") == 0.0:
            raise LoraeError("penalties.nuclear: got 0 beside penalty_path, whose points take its place; leave it out")
        if proximal and (method.bottleneck != "linear" or "nuclear" not in method.weights):
            raise LoraeError(f"matrix_update: got 'prox', but method {self.method!r} has no nuclear norm to minimise")

    def resolve(self, data_kind: str, data_shape: Iterable[int]) -> "Settings":
        """The same settings with every None that the method or the data decides filled in.

        data_kind: `images` or `vectors`; data_shape: (c, h, w) or (d,). Raises LoraeError where method, network
        and data do not fit together.
        """
        self._check_fit()
        shape = tuple(data_shape)
        network = self.network or _default_network(self.data, data_kind)
        if (network in ("mlp", "residual")) != (data_kind == "vectors"):
            fitting = "mlp or residual" if data_kind == "vectors" else "mnist or celeba"
            raise LoraeError(f"network: got {network!r}, expected {fitting} for {data_kind} (from --network)")
        paper = PAPER_SETTINGS.get(self.data, PAPER_SETTINGS["mnist"])
        method = get_method(self.method)
        widest = shape[0] if data_kind == "vectors" else 128
        latent_dim = self.latent_dim or min(method.latent_dim or 128, widest)
        if isinstance(self.rank, int) and self.rank > latent_dim:
            raise LoraeError(f"rank: got {self.rank}, expected at most {latent_dim}, the latent's dimension")
        likelihood = self.likelihood or (method.likelihood if data_kind == "images" else "gaussian")
        if likelihood == "bernoulli" and data_kind == "vectors":
            raise LoraeError("likelihood: got 'bernoulli', expected gaussian for vectors (from --likelihood)")
        normalise = self._resolved_matrix_option(self.normalise, "normalise", "none")
        layers = method.bottleneck_options.get("layers", 1)
        if network == "residual" and normalise not in (None, "none") and layers != 1:
            raise LoraeError(
                f"normalise: got {normalise!r} with network residual, which starts as PCA with one matrix M, but "
                f"method {self.method!r} has {layers}; expected none"
            )
        penalties = self._resolved_penalties(paper.penalty)
        matrix_update = self.matrix_update or method.matrix_update
        self._check_penalty_every(penalties, matrix_update)
        return dataclasses.replace(
            self,
            network=network,
            latent_dim=latent_dim,
            epochs=self.epochs or paper.epochs,
            matrix_init=self._resolved_matrix_option(self.matrix_init, "init", "default"),
            normalise=normalise,
            matrix_update=matrix_update,
            schedule=self.schedule or method.schedule,
            penalty=None,
            penalties=penalties,
            lr=self.lr or method.lr,
            penalty_warmup=method.warmup if self.penalty_warmup is None else self.penalty_warmup,
            reconstruction=self.reconstruction or method.reconstruction,
            likelihood=likelihood,
            noise=method.noise if self.noise is None else self.noise,
        )

    def _check_penalty_every(self, weights: Mapping[str, float], matrix_update: str) -> None:
        proximal = matrix_update == "prox"
        if self.penalty_every > 1 and not matrix_penalties(weights, proximal=proximal):
            held = matrix_penalties(penalty_names(), proximal=proximal)
            raise LoraeError(
                f"penalty_every: got {self.penalty_every}, but method {self.method!r} has no penalty whose slope could "
                f"be held, one of {', '.join(held)}; expected 1"
            )

    def _resolved_matrix_option(self, chosen: str | None, option: str, default: str) -> str | None:
        method = get_method(self.method)
        if method.bottleneck != "linear":
            return None
        word: str = chosen or method.bottleneck_options.get(option, default)
        return word

    def _resolved_penalties(self, paper_penalty: float) -> dict[str, float]:
        method = get_method(self.method)
        weights = dict(method.weights)
        if method.main == "nuclear":
            weights["nuclear"] = paper_penalty
        if method.main is not None and self.penalty is not None:
            weights[method.main] = self.penalty
        return weights | self.penalties

    @property
    def measures_ranks(self) -> bool:
        """Whether errors decide on the rank while training; a rank that is given needs none."""
        searched = self.rank is not None and not isinstance(self.rank, int)
        return searched or self.target_mse is not None or self.penalty_path is not None

    def with_machine(self, device: str, precision: str) -> "Settings":
        """The same settings with `auto` replaced by what the machine offers."""
        return dataclasses.replace(self, device=device, precision=precision)

    def to_json(self) -> dict[str, Any]:
        """Every field as a plain JSON value."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclass(frozen=True)
class PaperSettings:
    """What the paper's supplementary table 2 sets by data set."""

    epochs: int
    penalty: float


# Other data takes the settings of MNIST: its penalty suits images of 32 x 32 and standardised vectors alike.
PAPER_SETTINGS = {
    "mnist": PaperSettings(epochs=50, penalty=1e-3),
    "celeba": PaperSettings(epochs=100, penalty=1e-5),
}


def _default_network(data: str, data_kind: str) -> str:
    if data_kind == "vectors":
        return "mlp"
    # The CelebA network has 16 times the weights: it is the default only for the data it was made for.
    return "celeba" if data == "celeba" else "mnist"


# What `settings.data` says of a run that was trained on an array in memory.
ARRAY = "array"
