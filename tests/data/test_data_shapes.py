import numpy as np
import pytest

from lorae.data import NAMED_SOURCES, DataSettings, load_data, render_shapes, sample_factors, source_names
from lorae.data.shapes import ALL_FACTORS, COLOR_FACTORS, KINDS, RANGES
from lorae.errors import LoraeError


def load(data="shapes", **more):
    return load_data(DataSettings(data=data, **more))


def test_every_source_has_a_summary():
    assert source_names() == ["mnist", "fashion-mnist", "celeba", "shapes", "shapes-grey"]
    assert all(NAMED_SOURCES[name].summary for name in source_names())


def test_all_factors():
    dataset = load()
    assert dataset.train.inputs.shape == (10_000, 3, 32, 32)
    assert dataset.test.inputs.shape == (2_000, 3, 32, 32)
    assert dataset.intrinsic_dimension == 6
    assert np.bincount(dataset.train.labels).min() > 3000
    assert dataset.source == "generated, seed 0"


def test_grey_discs():
    dataset = load("shapes-grey", size=16)
    assert dataset.shape == (1, 16, 16)
    assert dataset.intrinsic_dimension == 3
    assert dataset.train.labels is None
    assert dataset.train.inputs.max() == 255


def test_seed_and_size_decide_the_data(monkeypatch, tmp_path):
    first = load("shapes-grey")
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "other"))
    again = load("shapes-grey")
    np.testing.assert_array_equal(again.train.inputs, first.train.inputs)
    assert again.fingerprint == first.fingerprint
    other = load("shapes-grey", split_seed=1)
    assert not np.array_equal(other.train.inputs, first.train.inputs)
    assert other.fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("factors", "dimension", "labelled"),
    [
        (("x", "y"), 2, False),
        (("red", "kind"), 1, True),
        (("x", "y", "size", "red", "green", "blue"), 6, False),
        (("x", "y", "size", "red", "green", "blue", "background"), 7, False),
    ],
)
def test_chosen_factors(factors, dimension, labelled):
    dataset = load(factors=factors)
    assert dataset.intrinsic_dimension == dimension
    assert (dataset.train.labels is not None) == labelled


def test_pictures_from_before_the_background_keep_their_cache():
    """The keys that earlier versions prepared them under."""
    assert load().fingerprint == "4fcdd63d2200e8ac34578d46737beeb8"
    assert load("shapes-grey").fingerprint == "0e01964ad0bfe5f7bfe33f691f5d86ee"
    assert load(factors=ALL_FACTORS).fingerprint != load().fingerprint


def test_a_background_takes_nothing_from_the_other_factors():
    with_it, without = sample_factors(ALL_FACTORS, 50, seed=2), sample_factors(COLOR_FACTORS, 50, seed=2)
    for name in COLOR_FACTORS:
        np.testing.assert_array_equal(with_it[name], without[name])
    grey, black = render_shapes(with_it, 32, 3), render_shapes(without, 32, 3)
    assert not black[:, :, 0, 0].any()  # the corner, which no shape reaches
    np.testing.assert_allclose(grey[:, :, 0, 0], with_it["background"][:, None] * np.full(3, 255), atol=0.5)
    # The shape itself covers it, from its middle on.
    x, y = ((with_it[name] * 32).astype(int) for name in ("x", "y"))
    rows = np.arange(50)
    np.testing.assert_array_equal(grey[rows, :, y, x], black[rows, :, y, x])


def test_fixed_factors_do_not_vary():
    pictures = load(factors=("red",)).train.inputs
    assert (pictures[:, 1:] == pictures[:1, 1:]).all()
    assert len(np.unique(pictures[:, 0, 16, 16])) > 100


@pytest.mark.parametrize(
    ("data", "factors"),
    [
        ("shapes", ("angle",)),
        ("shapes-grey", ("red",)),
        ("shapes-grey", ("kind",)),
        ("shapes-grey", ("background",)),
        ("shapes", ()),
        ("shapes", ("x", "x")),
    ],
)
def test_factors_that_do_not_fit(data, factors):
    with pytest.raises(LoraeError, match="factors: got"):
        load(data, factors=factors)


def test_settings_that_shapes_do_not_have():
    for name, value in (("crop", 8), ("channels", 1)):
        with pytest.raises(LoraeError, match=f"{name}: got"):
            load(**{name: value})
    with pytest.raises(LoraeError, match=r"factors: got \('x',\), but only shapes, shapes-grey take it"):
        load("mnist", factors=("x",))


def test_shapes_show_their_colour():
    factors = sample_factors(COLOR_FACTORS, 600, seed=5)
    pictures = render_shapes(factors, 32, 3)
    np.testing.assert_allclose(pictures[:, 0].max(axis=(1, 2)), factors["red"] * 255, atol=1)


def test_extreme_shapes_are_not_cut_off():
    corners = [(x, y, kind) for x in RANGES["x"] for y in RANGES["y"] for kind in range(len(KINDS))]
    x, y, kind = (np.array(column) for column in zip(*corners, strict=True))
    size = np.full(len(corners), RANGES["size"][1])
    moved = render_shapes({"x": x, "y": y, "size": size, "kind": kind}, 32, 3)
    centred = render_shapes({"size": size, "kind": kind}, 32, 3)
    np.testing.assert_allclose(moved.sum(axis=(1, 2, 3)), centred.sum(axis=(1, 2, 3)), rtol=0.01)


@pytest.mark.parametrize("kind", range(len(KINDS)))
@pytest.mark.parametrize("factor", list(RANGES))
def test_small_changes_of_a_factor_are_small_changes_of_the_picture(factor, kind):
    steps = 400
    values = np.linspace(*RANGES[factor], steps)
    pictures = render_shapes({factor: values, "kind": np.full(steps, kind)}, 32, 3).astype(float)
    change = np.abs(np.diff(pictures, axis=0))
    assert change.max() < 20
    # Nothing stands still for long either: each tenth of the range differs from the next.
    assert (np.abs(np.diff(pictures[:: steps // 10], axis=0)).sum(axis=(1, 2, 3)) > 100).all()


def test_area_of_a_disc():
    radius = np.linspace(*RANGES["size"], 7)
    area = render_shapes({"size": radius}, 64, 1).sum(axis=(1, 2, 3)) / 255 / 64**2
    np.testing.assert_allclose(area, np.pi * radius**2, rtol=0.01)


def test_factors_of_unequal_length():
    with pytest.raises(LoraeError, match="one length"):
        render_shapes({"x": np.zeros(3), "y": np.zeros(2)}, 32, 3)


def test_sampled_factors_stay_in_their_ranges():
    for name, values in sample_factors(ALL_FACTORS, 1000, seed=0).items():
        if name == "kind":
            assert set(values.tolist()) == {0, 1, 2}
        else:
            low, high = RANGES[name]
            assert low <= values.min() < values.max() <= high
