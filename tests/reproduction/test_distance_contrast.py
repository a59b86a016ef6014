"""Theorem 2: the ratio of distances, the norm, models without M, latents all the same, what the bound is."""

import numpy as np
import pytest
import torch

import lorae
from lorae.errors import LoraeError
from lorae.metrics.intrinsic_dimension import distance_contrast
from lorae.models.autoencoder import Autoencoder, ModelSpec
from lorae.reproduction.pages.blocks import Grid, Picture
from lorae.reproduction.theory import distance_contrast as contrast
from lorae.runs.run import Run
from lorae.training.builders import build_model
from tests.reproduction.pages import check_pictures, outcomes, verdicts

ITEMS = np.random.default_rng(0).standard_normal((90, 6)).astype(np.float32)
MEASURED = {"initial_error": 2.0, "initial_norm": 4.0, "final_error": 0.5}


def model(bottleneck: str = "linear", scale: float = 1.0) -> Autoencoder:
    torch.manual_seed(0)
    built = Autoencoder(ModelSpec("mlp", (6,), latent_dim=4, bottleneck=bottleneck))
    if bottleneck == "linear":
        with torch.no_grad():
            built.bottleneck.single_matrix().copy_(scale * torch.diag(torch.tensor([1.0, 0.5, 0.25, 1e-5])))
    return built


def test_with_as_many_queries_as_points_the_median_is_that_of_the_measure_of_all_models():
    found = contrast.measure_contrast(model(), ITEMS, weight=0.1, **MEASURED)
    assert found["ratio"]["median"] == pytest.approx(distance_contrast(model().encode(ITEMS))["median"], rel=1e-9)
    assert found["items"]["median"] == pytest.approx(distance_contrast(ITEMS)["median"], rel=1e-9)


def test_ranks_and_norm_are_those_of_the_matrix():
    found = contrast.measure_contrast(model(), ITEMS, weight=0.1, **MEASURED)
    assert found["matrix_ranks"] == {"0.01": 3, "0.001": 3, "1e-06": 4}
    assert found["norm"] == pytest.approx(1.75001)
    assert found["constant"] == pytest.approx(3 / 1.75001)
    assert found["norm_bound"] == pytest.approx((2.0 - 0.5) / 0.1 + 4.0)


@pytest.mark.parametrize(("weight", "expected"), [(0.1, True), (100.0, False)])
def test_the_bound_is_the_ratio_and_one_times_the_share_of_the_penalty(weight, expected):
    found = contrast.measure_contrast(model(), ITEMS, weight=weight, **MEASURED)
    share = weight * found["norm"] / MEASURED["initial_error"]
    assert found["bound"] == pytest.approx((found["ratio"]["mean"] + 1) * share, rel=1e-9)
    assert found["bound_holds"] is expected


def test_without_a_penalty_there_is_no_bound():
    found = contrast.measure_contrast(model(), ITEMS, weight=0.0, **MEASURED)
    assert (found["bound"], found["bound_holds"], found["norm_bound"]) == (None, None, None)


def test_a_model_without_a_matrix_has_ratios_alone():
    found = contrast.measure_contrast(model("identity"), ITEMS, weight=0.0, **MEASURED)
    assert set(found) == {"ratio", "items"}
    assert found["ratio"]["mean"] > 0


def test_latents_that_are_all_the_same_have_no_ratio():
    found = contrast.measure_contrast(model(scale=0.0), ITEMS, weight=0.1, **MEASURED)
    assert found["ratio"] is found["constant"] is found["bound"] is found["bound_holds"] is None
    assert (found["norm"], found["matrix_ranks"]["0.001"]) == (0.0, 0)
    with pytest.raises(LoraeError, match="all are the same"):
        distance_contrast(model(scale=0.0).encode(ITEMS))


def test_points_at_equal_distances_have_no_contrast_whatever_bound_is_claimed():
    smallest, largest = contrast.extreme_distances(np.eye(12))
    np.testing.assert_allclose(smallest, np.sqrt(2))
    np.testing.assert_allclose(largest, smallest)


def test_points_that_repeat_count_once():
    points = np.array([[0.0], [0.0], [1.0], [4.0]])
    smallest, largest = contrast.extreme_distances(points, queries=2)
    assert (smallest.tolist(), largest.tolist()) == ([1.0, 1.0], [4.0, 4.0])


def rows(scales: dict[float, float], plain: bool = False) -> list[dict]:
    """Results for each weight, with M times a number; without the penalty there may be no M."""
    return [
        {
            "weight": weight,
            "label": f"{weight:g}",
            "seed": 0,
            "contrast": contrast.measure_contrast(
                model("identity" if plain and not weight else "linear", scale), ITEMS, weight=weight, **MEASURED
            ),
        }
        for weight, scale in scales.items()
    ]


def test_a_weight_at_which_all_latents_are_the_same_refutes_a_growing_contrast(tmp_path):
    page = contrast.page(rows({0.0: 1.0, 1e-3: 1.0, 1e-1: 0.0}), tmp_path)
    assert outcomes(page) == [False, False, True, False]
    first = verdicts(page)[0]
    assert "all latents the same at 0.1" in first.seen
    ratios = next(block for block in page.blocks if isinstance(block, Grid))
    assert ratios.rows[2][:4] == ("0.1", "–", "–", "–")


def test_a_model_without_a_matrix_may_be_the_one_without_the_penalty(tmp_path):
    page = contrast.page(rows({0.0: 1.0, 1e-3: 1.0}, plain=True), tmp_path)
    assert outcomes(page)[2:] == [True, False]
    assert any(isinstance(block, Picture) for block in page.blocks)


def test_nothing_is_judged_where_every_model_with_the_penalty_collapsed(tmp_path):
    assert outcomes(contrast.page(rows({0.0: 1.0, 1e-1: 0.0}), tmp_path)) == [None]


def test_the_page_shows_the_norm_that_the_last_step_of_the_proof_takes(tmp_path):
    page = contrast.page(rows({0.0: 1.0, 0.25: 1.0}), tmp_path)
    _, ingredients = (block for block in page.blocks if isinstance(block, Grid))
    shown = dict(zip(ingredients.header, ingredients.rows[0], strict=True))
    assert (shown["weight x first norm"], shown["last error"]) == ("1", "0.5")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Run, np.ndarray]:
    vectors = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    out = tmp_path_factory.mktemp("theory") / "run"
    return lorae.train(vectors, out=out, penalty=1e-2, epochs=3, quiet=True), vectors


def measured(trained, scale: float = 1.0) -> dict:
    run, vectors = trained
    model = run.load_model()
    with torch.no_grad():
        model.bottleneck.single_matrix().mul_(scale)
    dataset = lorae.load_data(vectors)
    fresh = build_model(run.settings, dataset)
    start = float(torch.linalg.matrix_norm(fresh.bottleneck.single_matrix().detach(), "nuc"))
    return contrast.measure_contrast(
        model,
        dataset.test.inputs,
        initial_error=fresh.squared_error(dataset.train.inputs),
        initial_norm=start,
        final_error=model.squared_error(dataset.train.inputs),
        weight=1e-2,
    )


def test_the_ratio_is_that_of_all_pairwise_distances(trained):
    run, vectors = trained
    latents = run.load_model().encode(lorae.load_data(vectors).test.inputs).astype(np.float64)
    distances = np.linalg.norm(latents[:, None] - latents[None], axis=2)
    largest, smallest = distances.max(1), np.where(distances > 0, distances, np.inf).min(1)
    assert measured(trained)["ratio"]["mean"] == pytest.approx(((largest - smallest) / smallest).mean(), rel=1e-6)


def test_the_ratio_does_not_depend_on_the_scale_of_m_but_the_constant_does(trained):
    plain, scaled = measured(trained), measured(trained, 0.1)
    assert scaled["ratio"]["mean"] == pytest.approx(plain["ratio"]["mean"], rel=1e-4)
    assert scaled["matrix_ranks"] == plain["matrix_ranks"]
    assert scaled["constant"] == pytest.approx(10 * plain["constant"], rel=1e-4)


def test_the_norm_obeys_equation_15_after_training(trained):
    found = measured(trained)
    assert found["norm"] <= found["norm_bound"]
    assert found["constant"] * found["norm"] == pytest.approx(found["matrix_ranks"]["0.001"])


def rows_of_theorem_2(ratios: dict[float, float]) -> list[dict]:
    return [
        {
            "weight": weight,
            "label": f"{weight:g}",
            "seed": seed,
            "contrast": {
                "ratio": {"mean": ratio + seed, "median": ratio},
                "matrix_ranks": {"0.001": 8},
                "norm": 4.0,
                "norm_bound": 9.0 if weight else None,
                "constant": 2.0,
                "bound": 0.1 if weight else None,
                "bound_holds": True if weight else None,
            },
        }
        for weight, ratio in ratios.items()
        for seed in range(2)
    ]


@pytest.mark.parametrize(
    ("ratios", "holds"),
    [
        ({0.0: 1.0, 1e-4: 2.0, 1e-3: 3.0}, [True, True, True, False]),
        ({0.0: 2.5, 1e-4: 3.0, 1e-3: 2.0}, [False, False, True, False]),
    ],
)
def test_the_page_of_theorem_2_judges_what_was_measured(ratios, holds, tmp_path):
    page = contrast.page(rows_of_theorem_2(ratios), tmp_path)
    assert outcomes(page) == holds
    check_pictures(page, tmp_path)


def test_a_page_of_nothing_says_so(tmp_path):
    page = contrast.page([], tmp_path)
    assert outcomes(page) == [None]
    assert not any(isinstance(block, Picture) for block in page.blocks)
