"""The layer compiled, exported and distributed; tests/integration/test_examples.py has Lightning."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from lorae.nn import LowRankLinear, ProximalAdam, nuclear_norm_penalty
from tests.nn.networks import error, items, network, train

ROOT = Path(__file__).parents[2]
# Dynamo and inductor use what torch itself has deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*autograd.function.Function.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*_prims_common.check:FutureWarning"),
]


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()


def penalized(model, x):
    return error(model, x) + 0.1 * nuclear_norm_penalty(model)


def check_a_compiled_loss(backend):
    model, x = network(init="default"), items()
    losses, gradients = [], []
    for loss in (penalized, torch.compile(penalized, fullgraph=True, backend=backend)):
        model.zero_grad()
        losses.append(loss(model, x))
        losses[-1].backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(losses[1], losses[0])
    for compiled, eager in zip(*reversed(gradients), strict=True):
        torch.testing.assert_close(compiled, eager, atol=1e-6, rtol=1e-4)


def test_a_loss_with_the_penalty_is_one_graph_with_the_same_gradients():
    check_a_compiled_loss("aot_eager")


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler")
def test_a_compiled_loss_has_the_same_gradients():
    check_a_compiled_loss("inductor")


def test_a_compiled_network_trains_to_the_same_rank():
    x, models = items(), (network(), network())
    for model, trained in zip(
        models, (torch.compile(models[0], fullgraph=True, backend="aot_eager"), models[1]), strict=True
    ):
        optimizer = ProximalAdam(trained.parameters(), lr=1e-2, penalty=0.05)
        assert nuclear_norm_penalty(trained, every=3).item() == pytest.approx(6)
        train(trained, optimizer, x, 100)
        optimizer.shrink()
        assert model[1].rank() == optimizer.rank
    torch.testing.assert_close(models[0][1].weight, models[1][1].weight, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dim", [-1, 1])
def test_an_exported_network_gives_the_same_outputs_for_any_batch(dim):
    model = nn.Sequential(LowRankLinear(5, "default", dim=dim), nn.Tanh()).eval()
    x = torch.randn(4, 5) if dim == -1 else torch.randn(4, 5, 3, 3)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: batch},)).module()
    fresh = torch.cat([x, x + 1])
    torch.testing.assert_close(exported(fresh), model(fresh))


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="this torch has no gloo")
def test_two_processes_take_the_steps_of_one_on_all_items(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.nn.ddp_worker"]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=200)
        assert worker.returncode == 0, errors
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))

    x, expected = items().double(), [network().double() for _ in range(2)]
    optimizer = ProximalAdam(expected[0].parameters(), lr=1e-2, penalty=0.05)
    train(expected[0], optimizer, x, 25)
    optimizer.shrink()
    adam = torch.optim.Adam(expected[1].parameters(), lr=1e-2)
    for _ in range(10):
        adam.zero_grad()
        (error(expected[1], x) + 0.05 * nuclear_norm_penalty(expected[1], every=3)).backward()
        adam.step()
    one = [expected[0].state_dict(), expected[0].state_dict(), expected[1].state_dict()]
    for mine, other, alone in zip(first, second, one, strict=True):
        for name, value in alone.items():
            assert torch.equal(mine[name], other[name])
            torch.testing.assert_close(mine[name], value, atol=1e-5, rtol=0)
