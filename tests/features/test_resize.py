import numpy as np
import pytest
from PIL import Image

from lorae.features.resize import as_color, middle_square, resize_clean, resize_rounded


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (2, 3, 20, 12), np.uint8)


@pytest.mark.parametrize(("height", "width"), [(7, 5), (33, 40), (20, 6)])
def test_agrees_with_pillow_on_floats_channel_by_channel(noise, height, width):
    result = resize_clean(noise, height, width)
    assert result.shape == (2, 3, height, width)
    assert result.dtype == np.float32
    for image, resized in zip(noise.reshape(-1, 20, 12), result.reshape(-1, height, width), strict=True):
        expected = Image.fromarray(image).convert("F").resize((width, height), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(resized, np.asarray(expected))


def test_agrees_with_pillow_on_bytes_up_to_its_rounding(noise):
    faint = 96 + noise // 4  # so faint that Pillow, which clips between rows and columns, has nothing to clip
    for size in ((7, 5), (33, 40)):
        for image, resized in zip(faint[:, 0], resize_clean(faint, *size)[:, 0], strict=True):
            rounded = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC), np.float32)
            assert 0 < np.abs(resized - rounded).max() < 1.5


@pytest.mark.parametrize("side", [3, 8, 30])
def test_a_constant_stays_constant(side):
    result = resize_clean(np.full((1, 1, 16, 16), 77, np.uint8), side, side)
    np.testing.assert_allclose(result, 77, rtol=1e-6)


def test_images_of_that_size_are_only_converted(noise):
    result = resize_clean(noise, 20, 12)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, noise)


def test_values_are_neither_rounded_nor_clipped():
    edge = np.zeros((1, 1, 8, 8), np.uint8)
    edge[..., 4:] = 255
    result = resize_clean(edge, 8, 32)
    # A bicubic filter overshoots on both sides of an edge.
    assert result.min() < -1
    assert result.max() > 256
    assert np.abs(result - np.rint(result)).max() > 0.1


def test_shrinking_does_not_alias():
    stripes = np.zeros((1, 1, 64, 64), np.uint8)
    stripes[..., ::2] = 200
    inside = resize_clean(stripes, 16, 16)[..., 2:-2]
    np.testing.assert_allclose(inside, 100, atol=1)


@pytest.mark.parametrize("side", [5, 33])
def test_rounded_resize_is_that_of_pillow_on_color_pictures(noise, side):
    for image, resized in zip(noise, resize_rounded(noise, side), strict=True):
        expected = Image.fromarray(image.transpose(1, 2, 0)).resize((side, side), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(resized.transpose(1, 2, 0), np.asarray(expected))


def test_the_middle_square_is_the_largest_one(noise):
    np.testing.assert_array_equal(middle_square(noise), noise[:, :, 4:16])
    np.testing.assert_array_equal(middle_square(noise.swapaxes(2, 3)), noise.swapaxes(2, 3)[..., 4:16])
    np.testing.assert_array_equal(middle_square(noise[:, :, :12]), noise[:, :, :12])


def test_as_colour(noise):
    grey = noise[:, :1]
    colour = as_color(grey)
    assert colour.shape == noise.shape
    for channel in range(3):
        np.testing.assert_array_equal(colour[:, channel], grey[:, 0])
    np.testing.assert_array_equal(as_color(noise), noise)
