"""Every setting of an evaluation, its default and the reason for it. This module imports no torch."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lorae import validation as rules
from lorae.config.datasets import get_defaults
from lorae.config.methods import get_method
from lorae.errors import LoraeError, unknown_name
from lorae.validation import setting

# What `lorae evaluate --only` takes; the functions are in `lorae.evaluation.measures`.
MEASURE_NAMES = (
    "reconstruction",
    "rank",
    "explained",
    "dimension",
    "fid",
    "kid",
    "cmmd",
    "prdc",
    "interpolation",
    "probe",
    "classification",
    "supervised",
)
# The extractors are in `lorae.features`.
FEATURE_NAMES = ("digits", "lite0", "inception", "dinov2", "clip", "raw")
SAMPLER_NAMES = ("gaussian", "mixture", "prior")

# A torch module is called as a function is, so that this module need not import torch.
NAME_OR_FUNCTION = rules.Rule(
    "a name, FILE.py:NAME, a torch module or a function",
    lambda value: value if callable(value) else rules.text().parse(value),
    FEATURE_NAMES,
    closed=False,
)


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Settings of an evaluation; `resolve` replaces each None by the default of the data set or the method."""

    features: Any = setting(
        None,
        NAME_OR_FUNCTION,
        f"network whose features are compared: {', '.join(FEATURE_NAMES)}, or FILE.py:NAME of your own; by default "
        "digits for mnist, raw for vectors, else inception",
    )
    features_weights: str | None = setting(
        None,
        rules.text(),
        "file with the weights of inception, or a safetensors file with those of dinov2 or clip; by default from the "
        "cache of torch or of the Hugging Face hub, else downloaded",
    )
    samplers: tuple[str, ...] | None = setting(
        None,
        rules.names(*SAMPLER_NAMES),
        "densities of latents to sample from, comma-separated; by default gaussian,mixture, and also prior for methods "
        "that train towards one; only prior for GANs",
    )
    components: int | None = setting(
        None,
        rules.whole(1),
        "components of the mixture; by default the paper's 4 for MNIST and 10 for CelebA, 10 for other data",
    )
    n: int = setting(10_000, rules.whole(2), "items to generate in a draw; as many as MNIST has test images")
    draws: int = setting(
        3, rules.whole(1), "draws from each density; their spread shows the random variation of a distance"
    )
    fit_on: str = setting(
        "train",
        rules.choice("train", "test"),
        "split whose latents the densities are fitted to; test as in the authors' code for CelebA",
    )
    reference: str = setting(
        "test", rules.choice("test", "train"), "split that generated items are compared with; test as in the paper"
    )
    labels: tuple[str, ...] = setting(
        ("10", "100", "1000", "10000", "all"),
        rules.names(),
        "numbers of labeled items of the classification, comma-separated; as in the paper",
    )
    seeds: int = setting(5, rules.whole(1), "classifiers trained for each number of labels")
    protocol: str = setting(
        "validation",
        rules.choice("validation", "authors_code"),
        "choice of the epoch of a classifier: on training items set aside, or on the test set as in the authors' code",
    )
    max_steps: int | None = setting(
        None,
        rules.whole(0),
        "limit on a classifier's training steps; 0 for no limit (the paper's 500 epochs, which take hours)",
    )
    bootstrap: int = setting(
        200, rules.whole(2), "resamples of the test items for the interval of the rank; enough for a 95% interval"
    )
    seed: int = setting(0, rules.whole(0, 2**31 - 1), "seed of draws, mixtures, subsets and classifiers")
    device: str = setting("auto", rules.choice("auto", "cpu", "cuda"), "cpu or cuda; auto uses a GPU if there is one")

    @classmethod
    def from_values(cls, values: Mapping[str, Any], origin: Callable[[str], str]) -> "EvaluationSettings":
        """Check plain values and return settings; raise LoraeError for an unknown name or a value outside its rule."""
        settings = rules.checked(cls, values, origin)
        for name in settings.samplers or ():
            if name not in SAMPLER_NAMES:
                raise unknown_name("samplers", name, SAMPLER_NAMES, several=True)
        for count in settings.labels:
            if count != "all" and not (count.isdigit() and int(count) > 0):
                raise LoraeError(f"labels: got {count!r}, expected positive whole numbers or all")
        return settings

    def resolve(self, data: str, kind: str, method: str) -> "EvaluationSettings":
        """Return the settings with the defaults of data and method; `kind` is `images`, `vectors` or `tensors`.

        Raises LoraeError for a density to be fitted to latents of a method without an encoder.
        """
        defaults, features = get_defaults(data), self.features
        if features is None:
            features = defaults.features if kind == "images" else "raw"
        components = self.components or defaults.components
        row = get_method(method)
        fitted = ("gaussian", "mixture") if row.encodes else ()
        samplers = self.samplers or (*fitted, *(("prior",) if row.prior else ()))
        for name in samplers:
            if name != "prior" and not row.encodes:
                raise LoraeError(f"samplers: got {name!r}, expected prior: method {method!r} has no latents to fit to")
        return dataclasses.replace(self, features=features, components=components, samplers=samplers)
