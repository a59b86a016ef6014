"""Defaults that depend on the data set, one row each. This module imports no torch."""

from dataclasses import dataclass

# Steps of a training by default at least, in which few items are seen in more epochs: 50 epochs of 200 images are 350
# steps, after which the paper's networks keep less of the variance than PCA does.
LEAST_STEPS = 2000


@dataclass(frozen=True)
class DatasetDefaults:
    """Defaults of one data set; the values here are those of user data, except for `network`."""

    summary: str = ""  # one line for lists of data sets
    size: int = 64  # side of images in pixels after resizing; arrays keep their own
    channels: int | None = None  # 1 or 3; None: as the files
    crop_share: float | None = None  # side of the center crop as a share of the width; None: the largest square
    own_settings: tuple[str, ...] = ()  # data settings that only some data sets take: `data_root`, `factors`
    epochs: int = 50  # the paper's supplementary table 2, MNIST
    penalty: float = (
        1e-3  # of the nuclear norm (the same table); it suits 32 x 32 images and standardized vectors alike
    )
    network: str | None = "mnist"  # None: one that starts as PCA, where the method allows it
    # Of the latent mixture. The paper's for CelebA, which Ghosh et al. (arXiv:1903.12436) use everywhere.
    components: int = 10
    features: str = "inception"  # for images


# A plain network needs thousands of steps until it keeps as much of the variance as PCA, and on few items never does.
USER_DATA = DatasetDefaults(network=None)

DATASETS = {
    "mnist": DatasetDefaults(
        "70,000 handwritten digits, grayscale",
        size=32,
        channels=1,
        own_settings=("data_root",),
        components=4,
        features="digits",
    ),
    "fashion-mnist": DatasetDefaults(
        "70,000 pictures of clothing, grayscale", size=32, channels=1, own_settings=("data_root",), components=4
    ),
    "celeba": DatasetDefaults(
        "faces of celebrities, color, from files that you have",
        channels=3,
        # A square of 148 pixels out of pictures 178 wide; as a share it fits half-size copies as well.
        crop_share=148 / 178,
        own_settings=("data_root",),
        epochs=100,
        penalty=1e-5,
        # Its network has 16 times the weights, so it is the default for no other data.
        network="celeba",
    ),
    "shapes": DatasetDefaults(
        "12,000 drawn shapes, color, with up to 7 known dimensions", size=32, channels=3, own_settings=("factors",)
    ),
    "shapes-grey": DatasetDefaults(
        "12,000 drawn discs, grayscale, with up to 3 known dimensions", size=32, channels=1, own_settings=("factors",)
    ),
}


def default_epochs(data: str, steps_per_epoch: int) -> int:
    """Return the number of epochs of a named data set or of user data, enough for `LEAST_STEPS`."""
    return max(get_defaults(data).epochs, -(-LEAST_STEPS // steps_per_epoch))


def get_defaults(data: str) -> DatasetDefaults:
    """Return the row of a named data set, or the defaults of user data for any other name or path."""
    return DATASETS.get(data, USER_DATA)
