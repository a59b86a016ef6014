import numpy as np
import pytest

from lorae.samplers.interpolation import linear_path, spherical_path

PATHS = [linear_path, spherical_path]


def pair(shape=(6,), seed=0):
    return np.random.default_rng(seed).normal(size=(2, *shape))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", [(6,), (1,), (4, 6), (2, 3, 6)])
@pytest.mark.parametrize("steps", [2, 3, 9])
def test_paths_run_from_end_to_end(path, shape, steps):
    first, second = pair(shape)
    found = path(first, second, steps)
    assert found.shape == (steps, *shape)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found[0], first, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(found[-1], second, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("path", PATHS)
def test_latents_of_a_batch_do_not_touch_each_other(path):
    first, second = pair((4, 6))
    together = path(first, second, 5)
    for index in range(4):
        np.testing.assert_allclose(together[:, index], path(first[index], second[index], 5), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("path", PATHS)
def test_the_way_back_is_the_same(path):
    first, second = pair()
    np.testing.assert_allclose(path(second, first, 7)[::-1], path(first, second, 7), atol=1e-14)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e-200, 1e100])
def test_equal_points_have_a_path_that_stays(path, scale):
    point = pair()[0] * scale
    np.testing.assert_allclose(path(point, point, 5), np.tile(point, (5, 1)), rtol=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_single_precision_and_lists_are_taken(path):
    found = path(np.ones(3, np.float32), [2.0, 2.0, 2.0], 3)
    np.testing.assert_allclose(found[:, 0], [1, 1.5, 2])


def test_linear_steps_are_even():
    first, second = pair()
    found = linear_path(first, second, 6)
    np.testing.assert_allclose(np.diff(found, axis=0), np.tile((second - first) / 5, (5, 1)), atol=1e-14)


@pytest.mark.parametrize("origin", [0.0, 3.0, np.arange(6.0)])
def test_spherical_path_stays_on_the_sphere_about_its_origin(origin):
    first, second = (2 * point / np.linalg.norm(point) + origin for point in pair())
    found = spherical_path(first, second, 11, origin) - origin
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 2, rtol=1e-12)


def test_angle_and_length_change_evenly():
    first, second = np.array([1.0, 0.0]), np.array([0.0, 3.0])
    found = spherical_path(first, second, 5)
    np.testing.assert_allclose(np.degrees(np.arctan2(found[:, 1], found[:, 0])), [0, 22.5, 45, 67.5, 90], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1.5, 2, 2.5, 3])


def test_spherical_path_stays_in_the_plane_of_its_ends():
    first, second = pair()
    found = spherical_path(first, second, 9)
    assert np.linalg.matrix_rank(found, tol=1e-10) == 2


@pytest.mark.parametrize("angle", [1e-9, 1e-6, 1e-3, 3.0, np.pi - 1e-3])
def test_nearly_equal_and_nearly_opposite_directions(angle):
    first, second = np.array([1.0, 0.0]), np.array([np.cos(angle), np.sin(angle)])
    found = spherical_path(first, second, 5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    turned = np.unwrap(np.arctan2(found[:, 1], found[:, 0]))
    np.testing.assert_allclose(turned, np.linspace(0, angle, 5), rtol=1e-6, atol=1e-12)


def test_opposite_points_are_joined_by_a_straight_line():
    first, _ = pair()
    np.testing.assert_allclose(spherical_path(first, -first, 5), linear_path(first, -first, 5), atol=1e-14)
    np.testing.assert_allclose(spherical_path(first, -2 * first, 5), linear_path(first, -2 * first, 5), atol=1e-14)


def test_the_origin_is_left_by_a_straight_line():
    end = pair()[0]
    for first, second in ((end, np.zeros(6)), (np.zeros(6), end)):
        np.testing.assert_allclose(spherical_path(first, second, 5), linear_path(first, second, 5), atol=1e-14)


def test_straight_and_curved_pairs_go_together():
    first, second = pair((3, 6))
    second[0], second[1] = -first[0], 0
    found = spherical_path(first, second, 5)
    np.testing.assert_allclose(found[:, :2], linear_path(first, second, 5)[:, :2], atol=1e-14)
    np.testing.assert_allclose(found[:, 2], spherical_path(first[2], second[2], 5), atol=1e-14)
