"""A trained model takes the arrays that training took, and means the same by them."""

import functools
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lorae
from lorae.config.data_settings import DataSettings
from lorae.data.items import picture_for_model, prepare_items
from lorae.data.splits import seeded_split
from lorae.errors import LoraeError
from lorae.models import Autoencoder, ModelSpec

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (12, 16, 16), dtype=np.uint8)
COLOR = RNG.integers(0, 256, (12, 24, 16, 3), dtype=np.uint8)

# Arrays that training takes, with the settings that they need.
TAKEN: dict[str, tuple[Any, dict[str, Any]]] = {
    "gray": (GRAY, {}),
    "gray with an axis": (GRAY[:, None], {}),
    "gray, channels last": (GRAY[..., None], {}),
    "gray, int64": (GRAY.astype(np.int64), {}),
    "gray, float64": (GRAY / 255, {}),
    "gray, float32": ((GRAY / 255).astype(np.float32), {}),
    "black and white": (GRAY > 100, {}),
    "resized": (RNG.integers(0, 256, (12, 20, 20), dtype=np.uint8), {"size": 16}),
    "cropped": (COLOR, {"size": 16, "crop": 10}),
    "recolored": (COLOR, {"channels": 1, "size": 8}),
    "color, channels first": (COLOR.transpose(0, 3, 1, 2), {"size": 16}),
    "color, channels last": (COLOR, {}),
    "vectors": (RNG.normal(size=(12, 5)), {}),
    "vectors, integers": (RNG.integers(0, 9, (12, 5)), {}),
}


def model_for(shape, settings):
    model = Autoencoder(ModelSpec("mlp" if len(shape) == 1 else "mnist", shape, latent_dim=3, width=0.125))
    model.prepare = functools.partial(prepare_items, DataSettings(**settings), shape)
    return model


@pytest.mark.parametrize("kind", TAKEN)
def test_the_array_of_a_training_is_encoded_as_its_items(kind):
    array, settings = TAKEN[kind]
    data = lorae.load_data(array, **settings)
    model = model_for(data.shape, settings)
    rows, _ = seeded_split(len(array), DataSettings(**settings))
    np.testing.assert_allclose(model.encode(array)[rows], model.encode(data.train.inputs), atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(array)[rows], model.reconstruct(data.train.inputs), atol=1e-5)
    as_tensor = model.encode(torch.as_tensor(np.ascontiguousarray(array)))
    np.testing.assert_allclose(as_tensor.numpy(), model.encode(array), atol=1e-6)


def test_rows_of_pixels_are_images_of_the_model():
    model = model_for((1, 16, 16), {})
    np.testing.assert_array_equal(model.encode(GRAY.reshape(12, -1)), model.encode(GRAY))


@pytest.mark.parametrize("form", [list, np.asarray])
def test_lists_are_arrays(form):
    model = model_for((5,), {})
    assert model.encode(form([[1, 2, 3, 4, 5]])).shape == (1, 3)


@pytest.mark.parametrize(
    ("shape", "item"),
    [
        ((1, 16, 16), GRAY[0]),
        ((3, 16, 16), COLOR[0, :16]),
        ((3, 16, 16), COLOR[0, :16].transpose(2, 0, 1)),
        ((1, 16, 16), GRAY[0][..., None]),
        ((5,), np.zeros(5)),
    ],
)
def test_one_item_without_the_axis_of_items_is_refused_with_what_to_do(shape, item):
    with pytest.raises(LoraeError, match=r"^items: got one of shape .*; pass items\[None\]$"):
        model_for(shape, {}).encode(item)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (GRAY.astype(float), "got .* expected"),
        (GRAY / 255 * 2 - 1, "got .* expected"),
        (np.where(GRAY > 250, np.nan, 0.5), "got .*expected"),
        (GRAY.astype(str), "expected"),
        (np.zeros((4, 300)), "expected nx1x16x16"),
    ],
)
def test_what_training_refuses_is_refused(array, found):
    with pytest.raises(LoraeError, match=found):
        model_for((1, 16, 16), {}).encode(array)


def test_load_prepares_by_the_settings_of_the_run(trained, images):
    model = lorae.load(trained)
    expected = model.encode(images)
    for array in (images[:, 0], images.transpose(0, 2, 3, 1), images.astype(np.int32), images / 255):
        np.testing.assert_allclose(model.encode(array), expected, atol=1e-5)


@pytest.mark.parametrize("layout", [lambda x: x, lambda x: x[:, 0], lambda x: x.transpose(0, 2, 3, 1)])
def test_the_estimator_takes_and_returns_every_layout(layout, images):
    given = layout(images)
    model = lorae.LoRAE(rank=2, epochs=1, random_state=0).fit(given[:40])
    codes = model.transform(given[:5])
    np.testing.assert_allclose(
        codes, lorae.LoRAE(rank=2, epochs=1, random_state=0).fit(images[:40]).transform(images[:5])
    )
    back = model.inverse_transform(codes)
    assert back.shape == given[:5].shape
    assert np.square(back - given[:5] / 255).mean() < 0.5


def test_the_distance_of_an_array_to_itself_in_another_layout_is_zero(images):
    with pytest.warns(lorae.LoraeWarning, match="singular"):
        found = lorae.fid(images, images[:, 0].astype(np.int64), features="raw", quiet=True)
    assert abs(found["fid"]) < 1e-6


def _png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


@pytest.mark.parametrize(("shape", "settings"), [((3, 24, 16), {}), ((1, 16, 16), {"crop": 10}), ((3, 8, 8), {})])
def test_a_picture_in_memory_is_prepared_as_arrays_are(shape, settings):
    asked = DataSettings(data="pictures", **settings, size=None if shape[1] != shape[2] else shape[1])
    expected = prepare_items(asked, shape, COLOR[:1])
    np.testing.assert_array_equal(picture_for_model(asked, shape, _png(COLOR[0]), None, 10_000), expected)


def test_a_picture_in_memory_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="24x16 pixels, expected at most 383"):
        picture_for_model(DataSettings(data="pictures"), (3, 24, 16), _png(COLOR[0]), None, 383)
    with pytest.raises(ValueError, match="24x16 pixels, which becomes 24x16, expected 24x12"):
        picture_for_model(DataSettings(data="pictures"), (3, 24, 12), _png(COLOR[0]), None, 10_000)
    with pytest.raises(LoraeError, match="crop: got 20"):
        picture_for_model(DataSettings(data="pictures", crop=20), (3, 8, 8), _png(COLOR[0]), None, 10_000)


def test_a_picture_in_memory_has_the_values_of_black_and_white_of_the_data():
    deep = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    found = picture_for_model(DataSettings(data="pictures"), (1, 16, 16), _png(deep), (0, 4095), 10_000)
    np.testing.assert_array_equal(found[0, 0], np.rint(deep / 4095 * 255))
