"""Theorem 1: the smoothed norm and its gradient, the fall of gradients, the condition, gaps."""

from itertools import pairwise

import pytest
import torch

from lorae.reproduction.jobs.store import Job
from lorae.reproduction.pages.blocks import Grid, Picture
from lorae.reproduction.theory import adam_convergence as convergence
from tests.reproduction.pages import check_pictures, outcomes, verdicts

SHORT = {"study": "theorem1", "rate": "theorem", "steps": 16, "seed": 0, **convergence.PROBLEM, "n": 60, "width": 8}


def records(norms: dict[tuple[int, int], float]) -> list[dict]:
    """(steps, seed) -> the smallest gradient, at the theorem's rate."""
    return [
        {
            "configuration": convergence.PROBLEM | {"rate": "theorem", "steps": steps, "seed": seed},
            "result": {"smallest_gradient": norm, "largest_gradient": 0.5, "running": [[1, 0.5], [steps, norm]]},
        }
        for (steps, seed), norm in norms.items()
    ]


def test_smoothing_adds_at_most_its_size_for_each_direction():
    matrix = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix[:3] = matrix[3:]  # rank 3
    norm = torch.linalg.svdvals(matrix).sum()
    for smoothing in (1e-1, 1e-2, 1e-3):
        excess = float(convergence.smoothed_nuclear_norm(matrix, smoothing) - norm)
        assert 2.9 * smoothing < excess <= 6 * smoothing  # the three zeros give one smoothing each


def test_its_gradient_at_a_diagonal_matrix_is_a_damped_sign():
    values = torch.tensor([2.0, -0.1, 0.0], dtype=torch.float64)
    matrix = torch.diag(values).requires_grad_()
    (gradient,) = torch.autograd.grad(convergence.smoothed_nuclear_norm(matrix, 0.1), matrix)
    torch.testing.assert_close(gradient, torch.diag(values / (values**2 + 0.01).sqrt()), rtol=1e-10, atol=1e-12)


def test_the_norm_of_the_gradient_is_that_of_all_parameters_before_the_first_step():
    configuration = convergence.PROBLEM | {"rate": "theorem", "steps": 1, "seed": 3, "n": 40, "width": 6}
    torch.manual_seed(0)
    model = convergence.SmoothAutoencoder(5, 6, 3)
    x = torch.randn(40, 5, dtype=torch.float64)
    loss = model.loss(x, configuration["weight"], configuration["smoothing"])
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    expected = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    [(first_loss, norm)] = convergence.gradient_norms(model, x, configuration)
    assert (first_loss, norm) == pytest.approx((float(loss.detach()), expected), rel=1e-12)


@pytest.mark.parametrize("gamma", [1e-12, 1e-8, 0.3, 1e4])
def test_the_proof_wants_gradients_above_what_bounds_them(gamma):
    needed = convergence.smallest_sigma(gamma)
    # The proof's psi_1 at this sigma is gamma / epsilon: there its constant changes sign.
    assert (1 - convergence.BETA) * needed / (convergence.BETA * gamma) - 1 == pytest.approx(
        gamma / convergence.EPSILON, rel=1e-6, abs=1e-12
    )
    assert needed > 8.99 * gamma


def test_the_page_gives_the_exponent_of_every_seed_and_of_the_last_steps(tmp_path):
    norms = {(steps, seed): steps**slope for seed, slope in enumerate((-0.5, -1.0)) for steps in (16, 64)}
    decay, condition = verdicts(convergence.page(records(norms | {(256, 0): 256**-0.5}), tmp_path))
    assert decay.holds is True
    assert "seed by seed -0.50, -1.00" in decay.seen
    assert "from 64 to 256 steps alone" in decay.seen
    assert condition.holds is False
    assert "exceed 4.5 for" in condition.seen
    assert f"{4.5 * (1 + 0.5e8):.2g}" in condition.seen


def test_one_number_of_steps_is_no_decay(tmp_path):
    page = convergence.page(records({(16, 0): 0.1, (16, 1): 0.2}), tmp_path)
    assert [verdict.holds for verdict in verdicts(page)] == [None, False]


def test_runs_at_the_constant_rate_alone_judge_nothing(tmp_path):
    found = records({(16, 0): 0.1})
    found[0]["configuration"]["rate"] = "constant"
    page = convergence.page(found, tmp_path)
    assert [verdict.holds for verdict in verdicts(page)] == [None]
    assert not (tmp_path / "pictures").exists()


def test_seeds_of_one_number_of_steps_have_no_exponent_of_their_own(tmp_path):
    decay, _ = verdicts(convergence.page(records({(16, 0): 0.4, (64, 1): 0.2}), tmp_path))
    assert decay.holds is True  # T^(-1/2) between the two
    assert "seed by seed –, –" in decay.seen


def test_the_learning_rates_shown_are_those_of_the_records(tmp_path):
    found = records({(16, 0): 0.4, (64, 0): 0.2})
    for record in found:
        record["configuration"]["scale"] = 0.8
    grid = next(block for block in convergence.page(found, tmp_path).blocks if isinstance(block, Grid))
    assert [row[:2] for row in grid.rows] == [("16", "0.2"), ("64", "0.1")]
    # The claimed line starts at the first norm and halves with every sixteenfold T.
    assert [float(row[3]) for row in grid.rows] == pytest.approx([0.4, 0.4 * 4**-0.25], rel=1e-2)


def test_the_page_says_that_the_norm_itself_is_not_smooth(tmp_path):
    condition = verdicts(convergence.page(records({(16, 0): 0.4, (64, 0): 0.2}), tmp_path))[-1]
    assert "not smooth where M loses rank" in condition.seen
    matrix = torch.zeros(2, 2, dtype=torch.float64)
    step = torch.eye(2, dtype=torch.float64)

    def slopes(smoothing: float) -> tuple[float, ...]:
        norms = [convergence.smoothed_nuclear_norm(matrix + t * step, smoothing) for t in (-1e-6, 0.0, 1e-6)]
        return tuple(float(right - left) / 1e-6 for left, right in pairwise(norms))

    # From either side of a zero matrix: a kink without smoothing, none with it.
    assert slopes(0.0) == pytest.approx((-2.0, 2.0))
    assert slopes(1e-1) == pytest.approx((0.0, 0.0), abs=1e-4)


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


def test_the_learning_rate_of_the_theorem_goes_like_one_over_the_root_of_the_steps():
    rates = [convergence.learning_rate("theorem", 0.01, steps) for steps in (25, 100, 400)]
    assert rates == pytest.approx([0.002, 0.001, 0.0005])
    assert len({convergence.learning_rate("constant", 0.01, steps) for steps in (25, 100, 400)}) == 1


def test_every_job_of_theorem_1_is_another_one():
    for preset in convergence.STEPS:
        jobs = convergence.jobs(preset, 3)
        assert len({job.key for job in jobs}) == len(jobs) == 3 * (len(convergence.STEPS[preset]) + 1)


def records_of_theorem_1(slope: float) -> list[dict]:
    records = []
    for job in convergence.jobs("smoke", 2):
        steps = job.configuration["steps"]
        norm = steps**slope * (1 + 0.01 * job.configuration["seed"])
        result = {
            "smallest_gradient": norm,
            "largest_gradient": 2.0,
            "running": [[1, 2.0], [16, norm]],
        }
        records.append({"key": job.key, "configuration": job.configuration, "result": result})
    return records


@pytest.mark.parametrize(("slope", "holds"), [(-0.5, True), (-0.1, False)])
def test_the_decay_is_judged_by_its_exponent(slope, holds, tmp_path):
    page = convergence.page(records_of_theorem_1(slope), tmp_path)
    assert outcomes(page) == [holds, False]
    check_pictures(page, tmp_path)
    assert f"T^({slope:.2f}" in verdicts(page)[0].seen


def test_jobs_of_theorem_1_have_names_for_people():
    assert all(isinstance(job, Job) and "steps" in job.name for job in convergence.jobs("smoke", 1))


def test_a_page_of_nothing_says_so(tmp_path):
    page = convergence.page([], tmp_path)
    assert outcomes(page) == [None]
    assert not any(isinstance(block, Picture) for block in page.blocks)
