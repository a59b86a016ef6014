"""What a GPU computes beside the networks, here without streams; that they run side by side is `test_gpu.py`'s."""

import contextlib

import pytest
import torch

from lorae.objectives.concurrent_penalty import ConcurrentPenalty
from lorae.objectives.linearized_penalty import LinearizedPenalty
from lorae.penalties import matrix_function

WEIGHTS = {"nuclear": 0.3, "schatten": 0.1}


class NoStream:
    def wait_stream(self, other):
        pass


@pytest.fixture(autouse=True)
def _one_stream(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: NoStream())
    monkeypatch.setattr(torch.cuda, "current_stream", NoStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())


def concurrent_penalty(every_step):
    matrix = torch.nn.Parameter(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))
    held = {name: LinearizedPenalty(matrix_function(name), torch.eye(6)) for name in WEIGHTS}
    return ConcurrentPenalty(held, WEIGHTS, matrix, torch.tensor(0.5), every_step=every_step)


def loss_at(matrix):
    matrix = matrix.detach().clone().requires_grad_()
    loss = torch.stack([0.5 * weight * matrix_function(name)(matrix) for name, weight in WEIGHTS.items()]).sum()
    (gradient,) = torch.autograd.grad(loss, matrix)
    return loss.detach(), gradient


def step(side):
    side.start()
    side.matrix.grad = torch.ones(6, 6)
    side.finish()
    side.end_step()
    return side.total, side.matrix.grad - 1


def test_every_step_has_the_value_and_the_gradient_of_the_loss():
    side = concurrent_penalty(every_step=True)
    for _ in range(2):
        torch.testing.assert_close(step(side), loss_at(side.matrix))
        side.matrix.data.mul_(1.5)
    assert set(side.terms) == set(WEIGHTS)


def test_between_looks_the_gradient_stays_and_the_value_follows_to_first_order():
    side = concurrent_penalty(every_step=False)
    value, gradient = step(side)
    change = 1e-3 * torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    side.matrix.data.add_(change)
    later, same = step(side)
    torch.testing.assert_close(same, gradient)
    torch.testing.assert_close(later, value + (gradient * change).sum())
    side.linearizes = True
    torch.testing.assert_close(step(side), loss_at(side.matrix))
    assert not side.linearizes
