"""One training by several processes, or in pieces of a batch, against one by a single process."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

import lorae
from lorae.config.methods import METHODS
from lorae.errors import LoraeError
from lorae.models.networks import Encoder
from lorae.objectives.parts import Parts
from lorae.penalties import all_penalties
from lorae.randomness import Replay, drawing_from, drawing_part, normal, randn_like, uniform
from lorae.runs.run import Run
from lorae.system.processes import Processes
from tests.training import joint_worker

ROOT = Path(__file__).parents[2]
# Of each kind one, as all take minutes: an autoencoder, proximal steps, an adversary, a penalty that
# couples the items of a batch, missing entries; in pieces, also a penalty that runs a network.
JOINT = ["ae", "lorae+", "gan", "coupled", "missing"]
PIECES = ["lorae+", "gan", "contractive"]


def every_training(quick):
    """Return the names of all trainings as parameters, slow but for some."""
    names = joint_worker.trainings()
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


# Their weights depend on rounding: the encoder's bias has no gradient where its output is normalized, so that Adam
# makes steps of rounding errors; the search changes its rate by measured errors.
BY_LOSS = {"normalized": 2e-3, "search": 1e-5}

pytestmark = [
    pytest.mark.usefixtures("blank_figures"),
    pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="this torch has no gloo"),
]


def start(*words, processes=2, restarts=0, **environment):
    """Start a module in several processes; return exit code, and what it and torchrun write."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["--max-restarts", str(restarts), "-m", *map(str, words)]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    given = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=400, check=False)
    return done.returncode, done.stdout, done.stderr


def lines_of_lorae(errors):
    return [line for line in errors.splitlines() if line.startswith("lorae: ") and "warning" not in line]


@pytest.fixture(scope="module")
def joint(tmp_path_factory, request):
    """Results of trainings by two processes by name; the slow ones only if such a test runs."""
    folder = tmp_path_factory.mktemp("joint")
    names = {
        item.callspec.params["name"] for item in request.session.items if "joint" in getattr(item, "fixturenames", [])
    }
    code, _, errors = start("tests.training.joint_worker", ",".join(sorted(names)), folder)
    assert code == 0, errors
    return lambda name: torch.load(folder / f"{name}.pt", weights_only=False)


@pytest.fixture(autouse=True)
def _penalty_of_a_program():
    joint_worker.register()


@functools.cache
def alone(name):
    return joint_worker.train(name)


def assert_same_training(name, one, other):
    assert torch.equal(one["draws"], other["draws"])
    assert one["values"]
    for (loss, terms), (other_loss, other_terms) in zip(one["values"], other["values"], strict=True):
        assert other_loss == pytest.approx(loss, rel=1e-5, abs=BY_LOSS.get(name, 1e-6))
        assert terms.keys() == other_terms.keys()
    if name not in BY_LOSS:
        for key, value in one["weights"].items():
            torch.testing.assert_close(other["weights"][key], value, atol=1e-5, rtol=0, msg=f"{key}: {{}}".format)
    (found, stopped), (other_found, other_stopped) = one["decided"], other["decided"]
    if found is not None:
        for name in found.keys() & {"tried", "points"}:
            assert [point["rank"] for point in found[name]] == [point["rank"] for point in other_found[name]]
        for name in found.keys() & {"rank", "knee"}:
            assert found[name] == other_found[name]
    if stopped is not None:
        assert stopped | {"loss": None} == other_stopped | {"loss": None}


@pytest.mark.parametrize("name", every_training(JOINT))
def test_two_processes_train_what_one_does(name, joint):
    assert_same_training(name, alone(name), joint(name))


@pytest.mark.parametrize("name", every_training(PIECES))
def test_a_batch_in_pieces_trains_what_a_whole_one_does(name):
    assert_same_training(name, alone(name), joint_worker.train(name, accumulate=3))


def test_no_network_is_given_more_than_a_piece(monkeypatch):
    sizes, forward = [], Encoder.forward

    def counted(self, x):
        sizes.extend([len(x)] if self.training else [])
        return forward(self, x)

    monkeypatch.setattr(Encoder, "forward", counted)
    joint_worker.train("contractive", accumulate=3)
    assert max(sizes) == 7  # of 19


SETTINGS = ["--method", "lorae+", "--latent-dim", "4", "--epochs", "6", "--batch-size", "17", "--checkpoint-every", "5"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file of vectors, and a run of it by one process without an interruption."""
    folder = tmp_path_factory.mktemp("whole")
    np.save(folder / "plane.npy", joint_worker.plane().inputs)
    options = {"method": "lorae+", "latent_dim": 4, "epochs": 6, "batch_size": 17, "checkpoint_every": 5}
    options |= {"network": "mlp", "quiet": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(folder / "cache"))
        return folder / "plane.npy", options, lorae.train(folder / "plane.npy", out=folder / "run", **options)


def assert_same_weights(run, other):
    for name, value in lorae.load(run).state_dict().items():
        torch.testing.assert_close(lorae.load(other).state_dict()[name], value, atol=1e-5, rtol=0, msg=name)


def test_a_signal_to_one_process_stops_all_with_one_checkpoint_and_one_resumes(whole, tmp_path):
    data, _, run = whole
    words = ["train", data, *SETTINGS, "--network", "mlp", "--out", tmp_path / "run"]
    code, _, errors = start("tests.training.joint_command", *words, FAULT="SIGTERM:1:8")
    assert code == 1
    (line,) = lines_of_lorae(errors)
    assert line.startswith("lorae: interrupted after step ")
    stopped = Run(tmp_path / "run")
    state = stopped.load_checkpoint()
    assert state is not None
    assert state["step"] in (9, 10)  # the request is seen one step later
    assert f"after step {state['step']} of" in line
    assert not stopped.finished
    assert_same_weights(run, lorae.resume(stopped, quiet=True))


@pytest.mark.slow
def test_two_processes_resume_one_and_go_on_when_one_of_them_is_killed(whole, tmp_path, train_until):
    data, options, run = whole
    train_until(12, data, out=tmp_path / "run", **options)
    code, output, errors = start(
        "tests.training.joint_command", "resume", tmp_path / "run", restarts=1, FAULT="SIGKILL:1:20"
    )
    assert code == 0, errors
    assert output.count("test error") == 1
    assert all("another process has failed or was killed" in line for line in lines_of_lorae(errors))
    assert_same_weights(run, Run(tmp_path / "run"))
    steps = [record["step"] for record in Run(tmp_path / "run").stats("epoch")]
    assert steps == [record["step"] for record in run.stats("epoch")]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "said"), [("error:1:3", "this process cannot go on"), ("memory:0:3", "not enough")])
def test_a_failure_of_one_process_ends_the_others(fault, said, whole, tmp_path):
    words = ["train", whole[0], *SETTINGS, "--network", "mlp", "--out", tmp_path / "run"]
    code, output, errors = start("tests.training.joint_command", *words, FAULT=fault)
    assert (code, output) == (1, "")
    assert any(said in line for line in lines_of_lorae(errors))


@pytest.mark.slow
def test_a_training_that_is_started_again_goes_on(whole, tmp_path):
    """`lorae train` itself, whose folder exists at the second start."""
    data, _, run = whole
    words = ["train", data, *SETTINGS, "--network", "mlp", "--out", tmp_path / "run"]
    code, _, errors = start("tests.training.joint_command", *words, restarts=1, FAULT="SIGKILL:0:13")
    assert code == 0, errors
    assert_same_weights(run, Run(tmp_path / "run"))


@pytest.mark.slow
def test_two_processes_measure_exactly_what_one_does(whole, tmp_path):
    shutil.copytree(whole[2].path, tmp_path / "run")
    options = ["--only", "fid,reconstruction,rank", "--n", "2500", "--json"]
    code, output, errors = start("--", "lorae", "evaluate", tmp_path / "run", *options)
    assert code == 0, errors
    alone = lorae.evaluate(whole[2], only="fid,reconstruction,rank", n=2500, quiet=True)
    assert json.loads(output) == json.loads(json.dumps(alone))


@pytest.mark.slow
def test_invalid_input_is_one_line_of_all_processes(tmp_path):
    code, _, errors = start("lorae", "train", "shapes-grey", "--lr", "-1", "--out", tmp_path / "run")
    assert code == 1
    assert lines_of_lorae(errors) == ["lorae: lr: got '-1', expected a number above 0 (from --lr)"]


def test_shares_differ_by_one_at_most_and_cover_all_rows():
    for n in (0, 1, 2, 7, 19):
        rows = [Processes(rank, 4).share(n) for rank in range(4)]
        assert [i for part in rows for i in range(n)[part]] == list(range(n))
        sizes = [part.stop - part.start for part in rows]
        assert max(sizes) - min(sizes) <= 1


def test_a_part_has_the_numbers_of_the_whole_batch():
    device = torch.device("cpu")
    x = torch.zeros(20, 3, 4, 4).contiguous(memory_format=torch.channels_last)

    def drawn(generator, rows):
        with drawing_from(generator), drawing_part(rows, 20):
            part = x[rows]
            return [randn_like(part), normal(len(part), 3, device=device), uniform(len(part), 1, device=device)]

    one, other = (torch.Generator().manual_seed(1) for _ in range(2))
    with drawing_from(one):
        whole = [randn_like(x), normal(20, 3, device=device), uniform(20, 1, device=device)]
    for mine, all_of_them in zip(drawn(other, slice(7, 12)), whole, strict=True):
        assert torch.equal(mine, all_of_them[7:12])
    assert torch.equal(one.get_state(), other.get_state())


def test_replayed_blocks_draw_the_same_and_the_generator_goes_on_after_one():
    device = torch.device("cpu")
    with drawing_from(torch.Generator().manual_seed(1)):
        first, then = normal(5, device=device), normal(5, device=device)
    with drawing_from(torch.Generator().manual_seed(1)):
        replay = Replay(device)
        for _ in range(2):
            with replay.again():
                assert torch.equal(normal(5, device=device), first)
        replay.end()
        assert torch.equal(normal(5, device=device), then)


def test_a_network_that_draws_is_computed_again_with_its_numbers():
    class Dropping(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(4))
            self.masks = []

        def forward(self, x):
            self.masks.append(torch.nn.functional.dropout(torch.ones_like(x), 0.5))
            return x * self.masks[-1] * self.weight

    network, x = Dropping(), torch.randn(6, 4)
    parts = Parts(pieces=2, foreign_networks=True)
    parts.begin(6, 3)
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    with drawing_from(generator):
        parts.apply(network, x).sum().backward()
    masks = torch.cat(network.masks[:2])
    assert len(network.masks) == 4
    assert 0 < (masks > 0).float().mean() < 1
    torch.testing.assert_close(network.weight.grad, (x * masks).sum(0))
    assert torch.equal(generator.get_state(), before)


def test_networks_whose_items_depend_on_each_other_are_not_split():
    norm = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    Parts().check(norm)
    with pytest.raises(LoraeError, match="BatchNorm1d, whose statistics would be those of a part"):
        Parts(pieces=2).check(norm)


def test_penalties_that_run_networks_say_that_they_are_means_over_items():

    found = [name for name, penalty in all_penalties().items() if penalty.by_items]
    assert found == ["contractive", "decoder_gradient"]


def test_every_method_is_trained_by_two_processes():
    assert set(METHODS) <= set(joint_worker.trainings())
