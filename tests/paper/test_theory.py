import numpy as np
import pytest
import scipy.stats
import torch

import lorae
from lorae.paper import contrast, convergence, exponent
from lorae.paper.cells import Cell
from lorae.paper.page import Grid, Page, Picture, Verdict
from lorae.runs import Run
from lorae.training import build_model

SHORT = {"study": "theorem1", "rate": "theorem", "steps": 16, "seed": 0, **convergence.PROBLEM, "n": 60, "width": 8}


def verdicts(page: Page) -> list[bool | None]:
    return [block.holds for block in page.blocks if isinstance(block, Verdict)]


def check_pictures(page: Page, folder) -> None:
    pictures = [block for block in page.blocks if isinstance(block, Picture)]
    assert pictures
    assert all((folder / block.path).read_bytes().startswith(b"\x89PNG") for block in pictures)


# Theorem 1


def test_the_smoothed_norm_of_a_diagonal_matrix_is_a_sum_of_roots():
    values = torch.tensor([3.0, 0.5, 0.0], dtype=torch.float64)
    found = convergence.smoothed_nuclear_norm(torch.diag(values), 0.1)
    assert float(found) == pytest.approx(float((values**2 + 0.01).sqrt().sum()), rel=1e-12)


def test_its_gradient_is_exact_also_at_a_matrix_that_lost_rank():
    matrix = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix[0] = matrix[1]
    matrix.requires_grad_()
    assert torch.autograd.gradcheck(lambda m: convergence.smoothed_nuclear_norm(m, 0.1), matrix)


def test_without_smoothing_it_is_the_nuclear_norm():
    matrix = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = float(torch.linalg.matrix_norm(matrix, "nuc"))
    assert float(convergence.smoothed_nuclear_norm(matrix, 1e-9)) == pytest.approx(expected, rel=1e-9)


def test_a_run_is_the_same_twice_and_its_minimum_never_rises():
    first, second = convergence.measure(SHORT), convergence.measure(SHORT)
    assert first == second
    norms = [norm for _, norm in first["running"]]
    assert norms == sorted(norms, reverse=True)
    assert first["running"][-1] == [16, first["smallest_gradient"]]
    assert first["smallest_gradient"] <= first["first_gradient"] <= first["largest_gradient"]
    assert first["last_loss"] < first["first_loss"]
    assert first["sigma_needed"] == pytest.approx(9 * first["largest_gradient"])


def test_the_learning_rate_of_the_theorem_goes_like_one_over_the_root_of_the_steps():
    rates = [convergence.learning_rate("theorem", 0.01, steps) for steps in (25, 100, 400)]
    assert rates == pytest.approx([0.002, 0.001, 0.0005])
    assert len({convergence.learning_rate("constant", 0.01, steps) for steps in (25, 100, 400)}) == 1


def test_every_cell_of_theorem_1_is_another_one():
    for preset in convergence.STEPS:
        cells = convergence.cells(preset, 3)
        assert len({cell.key for cell in cells}) == len(cells) == 3 * (len(convergence.STEPS[preset]) + 1)


def records_of_theorem_1(slope: float) -> list[dict]:
    records = []
    for cell in convergence.cells("smoke", 2):
        steps = cell.configuration["steps"]
        norm = steps**slope * (1 + 0.01 * cell.configuration["seed"])
        result = {
            "smallest_gradient": norm,
            "largest_gradient": 2.0,
            "sigma_needed": 18.0,
            "running": [[1, 2.0], [16, norm]],
        }
        records.append({"key": cell.key, "configuration": cell.configuration, "result": result})
    return records


@pytest.mark.parametrize(("slope", "holds"), [(-0.5, True), (-0.1, False)])
def test_the_decay_is_judged_by_its_exponent(slope, holds, tmp_path):
    page = convergence.page(records_of_theorem_1(slope), tmp_path)
    assert verdicts(page) == [holds, False]
    check_pictures(page, tmp_path)
    assert f"T^({slope:.2f}" in next(block.seen for block in page.blocks if isinstance(block, Verdict))


# Theorem 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
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
    assert verdicts(page) == holds
    check_pictures(page, tmp_path)


# Proposition 1


@pytest.mark.parametrize("slope", [-1.0, -0.26, 0.5])
def test_a_power_law_is_found_exactly(slope):
    x = np.logspace(-5, -1, 5)
    fit = exponent.fit_exponent(x, 3.0 * x**slope)
    assert (fit.exponent, fit.factor, fit.r2) == pytest.approx((slope, 3.0, 1.0), rel=1e-9)
    assert fit.error == pytest.approx(0, abs=1e-9)


def test_the_fit_agrees_with_scipy_on_noisy_points():
    generator = np.random.default_rng(0)
    x = np.logspace(-5, -1, 12)
    y = x**-0.3 * np.exp(0.2 * generator.standard_normal(12))
    fit, expected = exponent.fit_exponent(x, y), scipy.stats.linregress(np.log(x), np.log(y))
    assert (fit.exponent, fit.error, fit.r2) == pytest.approx((expected.slope, expected.stderr, expected.rvalue**2))


def test_a_multiple_of_the_identity_has_full_rank_and_a_vanishing_norm():
    rows = exponent.counterexample(16, (1.0, 1e-3, 1e-9))
    assert [row["rank"] for row in rows] == [16, 16, 16]
    assert [row["norm"] for row in rows] == pytest.approx([16.0, 16e-3, 16e-9])
    assert [row["constant"] for row in rows] == pytest.approx([1.0, 1e3, 1e9])


def rows_of_proposition_1(slope: float) -> list[dict]:
    return [
        {
            "weight": weight,
            "seed": seed,
            "published": rank,
            "ranks": {"0.001": 100 * (weight / 1e-5) ** slope, "1e-06": 100},
            "matrix_ranks": {"0.001": 100 * (weight / 1e-5) ** slope},
            "entropy_rank": 5.0,
        }
        for weight, rank in {1e-5: 65, 1e-4: 40, 1e-3: 18, 1e-2: 8, 1e-1: 7}.items()
        for seed in range(2)
    ]


@pytest.mark.parametrize(
    ("slope", "holds"), [(-0.3, [True, False, False]), (-1.0, [True, True, False]), (0.1, [False, False, False])]
)
def test_the_page_of_proposition_1_judges_the_exponent(slope, holds, tmp_path):
    page = exponent.page(rows_of_proposition_1(slope), tmp_path)
    assert verdicts(page) == holds
    check_pictures(page, tmp_path)
    exponents = next(block for block in page.blocks if isinstance(block, Grid) and "Exponent" in block.caption)
    published = next(row for row in exponents.rows if "paper" in row[0])
    # What the paper's table 7 gives by the textbook formula.
    x, y = np.log10([1e-5, 1e-4, 1e-3, 1e-2, 1e-1]), np.log10([65, 40, 18, 8, 7])
    assert published[1].startswith(f"{np.polyfit(x, y, 1)[0]:.2f}")


@pytest.mark.parametrize("module", [convergence, contrast, exponent])
def test_pages_of_nothing_say_so(module, tmp_path):
    page = module.page([], tmp_path)
    assert verdicts(page) == [None]
    assert not any(isinstance(block, Picture) for block in page.blocks)


def test_cells_of_theorem_1_have_names_for_people():
    assert all(isinstance(cell, Cell) and "steps" in cell.name for cell in convergence.cells("smoke", 1))
