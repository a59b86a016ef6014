"""A penalty of M whose slope is held between two looks."""

import dataclasses
from typing import Any

import pytest
import torch

import lorae
from lorae.config.settings import Settings
from lorae.linalg import nuclear_norm
from lorae.objectives.linearized_penalty import LinearizedPenalty
from lorae.penalties import all_penalties, matrix_function
from lorae.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("blank_figures")

OF_MATRIX = [name for name, penalty in all_penalties().items() if penalty.of_matrix]

every_matrix_penalty = pytest.mark.parametrize("name", OF_MATRIX)


def random_matrices(count, size=7):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, size, size, generator=generator)


@pytest.mark.parametrize(("every", "reads"), [(1, True), (5, False)])
def test_what_is_held_does_not_keep_a_step_from_being_captured(every, reads, image_file, small):
    options = small | {"penalties": {"log_det": 1e-4}, "penalty_every": every}
    options.pop("quiet")
    settings = lorae.plan(image_file, **options)["settings"]
    run = lorae.runs.store.InMemoryRun(Settings.from_values(settings, str), 1)
    assert Trainer(run, lorae.load_data(image_file), quiet=True).objective.reads_back is reads


def test_the_penalties_of_m_are_found():
    assert {"log_det", "mcp", "nuclear", "schatten"} <= set(OF_MATRIX)
    assert not {"matrix_l2", "decoder_l2", "mmd", "l1"} & set(OF_MATRIX)


@every_matrix_penalty
def test_at_a_look_value_and_gradient_are_the_functions_own(name):
    function = matrix_function(name)
    matrix = random_matrices(1)[0].requires_grad_()
    held = LinearizedPenalty(function, torch.eye(7))
    held.relinearize(matrix)
    (ours,) = torch.autograd.grad(held(matrix), matrix)
    (theirs,) = torch.autograd.grad(function(matrix), matrix)
    torch.testing.assert_close(held(matrix), function(matrix))
    torch.testing.assert_close(ours, theirs)


@every_matrix_penalty
def test_between_looks_the_gradient_stays_and_the_value_follows_to_first_order(name):
    function = matrix_function(name)
    start, direction = random_matrices(2).double()
    held = LinearizedPenalty(function, start)
    moved = (start + 1e-4 * direction).requires_grad_()
    (gradient,) = torch.autograd.grad(held(moved), moved)
    assert torch.equal(gradient, held.slope)
    change, wrong = (function(moved) - function(start)).item(), (held(moved) - function(moved)).item()
    assert abs(wrong) < 1e-3 * abs(change)


def test_the_tangent_of_the_nuclear_norm_never_lies_above_it():
    matrices = random_matrices(20)
    held = LinearizedPenalty(nuclear_norm, matrices[0])
    for matrix in matrices:
        assert held(matrix) <= nuclear_norm(matrix) + 1e-5


def test_looks_are_taken_where_they_are_due(image_file, small, tmp_path, monkeypatch):
    looked: list[Any] = []
    taken: list[Any] = []
    relinearize, take = LinearizedPenalty.relinearize, Trainer._one_step

    def seen(self, matrix):
        relinearize(self, matrix)
        looked.append(len(taken))

    def counted(self):
        take(self)
        taken.append(self.step)

    monkeypatch.setattr(LinearizedPenalty, "relinearize", seen)
    monkeypatch.setattr(Trainer, "_one_step", counted)
    lorae.train(image_file, out=tmp_path / "run", penalty_every=5, **small)
    assert len(taken) == 12
    assert sorted(set(looked)) == [0, 5, 10]


def test_a_look_at_every_step_is_the_penalty_itself(image_file, small, tmp_path):
    """Holding for one step only, which settings take as no holding at all, trains the same model."""
    plain = lorae.train(image_file, out=tmp_path / "plain", **small)
    settings = dataclasses.replace(plain.settings, penalty_every=2)
    trainer = Trainer(lorae.runs.store.InMemoryRun(settings, 1), lorae.load_data(image_file), quiet=True)
    trainer.objective.penalty_every = 1
    for ours, theirs in zip(trainer.fit().parameters(), lorae.load(plain).parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:rank. got auto")  # hundreds of steps teach it little
def test_a_course_that_moves_m_has_a_look_at_it(image_file, small, tmp_path, monkeypatch):
    """A search cuts latents and goes back to snapshots: what was held is then of another M."""
    distances = []
    take = Trainer._one_step

    def compared(self):
        take(self)
        held = self.objective.modules["held_penalties"]["log_det"]
        matrix = self.model.bottleneck.matrix()
        distances.append(((matrix - held.at).norm() / matrix.norm()).item())

    monkeypatch.setattr(Trainer, "_one_step", compared)
    options = small | {"epochs": 40, "penalty_every": 1000, "penalties": {"log_det": 1e-6}, "penalty": None}
    run = lorae.train(image_file, method="lorae+", rank="auto", out=tmp_path / "run", **options)
    assert run.evaluation()["schedule"]["tried"]
    assert min(distances[len(distances) // 2 :]) < 1e-6


@pytest.mark.parametrize("method", ["lorae", "lorae-mcp", "irmae"])
def test_a_run_stopped_between_two_looks_resumes_to_the_same_weights(method, image_file, small, tmp_path, train_until):
    options = small | {"method": method, "epochs": 3, "checkpoint_every": 5, "penalty_every": 4}
    if method == "irmae":  # the slope goes on to each of its layers
        options |= {"penalty": None, "penalties": {"nuclear": 1e-3}}
    whole = lorae.train(image_file, out=tmp_path / "whole", **options)
    train_until(11, image_file, out=tmp_path / "broken", **options)
    resumed = lorae.resume(tmp_path / "broken", quiet=True)
    ours, theirs = (lorae.load(run).state_dict() for run in (whole, resumed))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
