"""Paths between items."""

import numpy as np
import pandas
import pytest

from lorae import LoRAE


def test_the_ends_of_a_path_are_the_reconstructions_of_its_ends(fitted, plane):
    for path in ("linear", "spherical"):
        items = fitted.interpolate(plane[0], plane[1], 7, path=path)
        assert items.shape == (7, 12)
        ends = fitted.inverse_transform(fitted.transform(plane[:2]))
        np.testing.assert_allclose(items[[0, -1]], ends, rtol=1e-9, atol=1e-9)
    several = fitted.interpolate(plane[:3], plane[3:6], 5)
    assert several.shape == (5, 3, 12)
    np.testing.assert_allclose(several[:, 1], fitted.interpolate(plane[1], plane[4], 5))


def test_a_linear_model_interpolates_as_straight_lines_do(plane):
    model = LoRAE(rank=3, epochs=1, random_state=0).fit(plane[:19])  # too few items for a network
    assert not model.curved_
    first, second = model.inverse_transform(model.transform(plane[:2]))
    middle = model.interpolate(plane[0], plane[1], 3)[1]
    np.testing.assert_allclose(middle, (first + second) / 2, rtol=1e-9)
    radii = np.linalg.norm(model.transform(model.interpolate(plane[0], plane[1], 5, path="spherical")), axis=1)
    np.testing.assert_allclose(np.diff(radii), np.diff(radii)[0], atol=1e-9)


def test_frames_and_images(plane, images):
    frame = pandas.DataFrame(plane, columns=[f"c{number}" for number in range(12)])
    model = LoRAE(rank=2, epochs=1, random_state=0).set_output(transform="pandas").fit(frame)
    assert model.interpolate(frame.iloc[0], frame.iloc[1], 4).shape == (4, 12)
    assert model.interpolate(frame[:2], frame[2:4], 4).shape == (4, 2, 12)
    pictures = LoRAE(rank=2, latent_dim=8, epochs=1, random_state=0).fit(images)
    assert pictures.interpolate(images[0], images[1], 3).shape == (3, *images.shape[1:])


def test_arguments_that_do_not_fit_are_refused(fitted, plane):
    with pytest.raises(ValueError, match="steps: got 1, expected a whole number of at least 2"):
        fitted.interpolate(plane[0], plane[1], 1)
    with pytest.raises(ValueError, match="path: got 'sphere'"):
        fitted.interpolate(plane[0], plane[1], path="sphere")
    with pytest.raises(ValueError, match=r"b: got items of shape \(2, 12\), expected \(12,\)"):
        fitted.interpolate(plane[0], plane[:2])
