"""Runs to a rank, from `lorae.train` to what their folders say; the courses themselves are in test_courses.py."""

import json
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import lorae
from lorae.config.settings import Settings
from lorae.data import DataSettings, load_data
from lorae.errors import ExplainedVarianceWarning
from lorae.metrics.ranks import rank_at
from lorae.runs.run import Run
from lorae.runs.store import InMemoryRun
from lorae.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("blank_figures")

TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
FAST = {"batch_size": 64, "lr": 3e-3, "quiet": True}


@pytest.fixture(scope="module")
def plane():
    """Points of a plane in twenty dimensions, with noise a twentieth of their size: float32 (600, 20)."""
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(20, 2)))
    points = rng.normal(size=(600, 2)) @ axes.T
    return (points / points.std() + 0.05 * rng.normal(size=points.shape)).astype(np.float32)


def ranks_of(run):
    """The rank of M at all tolerances, and that of the latents on the test data at the usual one."""
    values = lorae.load(run).singular_values()
    return [rank_at(values, tolerance) for tolerance in TOLERANCES], run.evaluation()["rank"]["rank"]


@pytest.mark.parametrize("normalize", ["coordinates", "scale", "none"])
def test_a_given_rank_is_exact(normalize, plane, tmp_path):
    run = lorae.train(plane, rank=3, normalize=normalize, network="mlp", epochs=15, out=tmp_path / "run", **FAST)
    assert run.settings.method == "lorae+"
    assert ranks_of(run) == ([3] * 5, 3)
    assert run.evaluation()["rank"]["matrix_rank"] == 3
    assert {record["rank"] for record in list(run.stats("epoch"))[-5:]} == {3}
    assert run.summary()["test_mse"] < 0.02
    assert run.summary()["schedule"] is None


def test_proximal_steps_serve_the_papers_model_too(vectors, tmp_path):
    run = lorae.train(
        vectors, method="lorae", matrix_update="prox", rank=1, epochs=15, out=tmp_path / "run", lr=3e-3, quiet=True
    )
    assert run.settings.normalize == "none"
    assert ranks_of(run) == ([1] * 5, 1)


@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_auto_finds_a_noisy_plane(network, plane, tmp_path):
    run = lorae.train(plane, rank="auto", network=network, epochs=60, out=tmp_path / "run", **FAST)
    schedule = run.evaluation()["schedule"]
    assert ranks_of(run) == ([2] * 5, 2)
    assert schedule["rank"] == 2
    assert schedule["reached"]
    assert schedule["mse"] <= schedule["bound"] < 0.1
    assert [point["rank"] for point in schedule["tried"]] == [20, 10, 5, 2, 1]
    assert run.summary()["schedule"] == schedule
    assert (run.path / "figures" / "ranks.png").exists()


def test_a_share_of_the_variance_is_kept_by_the_fewest_directions(plane, tmp_path):
    run = lorae.train(plane, rank=0.9, epochs=30, out=tmp_path / "run", **FAST)
    assert ranks_of(run) == ([2] * 5, 2)
    data = lorae.load_data(plane)
    centred = data.test.inputs - data.train.inputs.mean(0)
    left = data.test.inputs - lorae.load(run).reconstruct(data.test.inputs)
    shares = 1 - np.square(left).sum(0) / np.square(centred).sum(0)  # of each column, in its own units
    assert shares.mean() >= 0.9
    one = next(point for point in run.evaluation()["schedule"]["tried"] if point["rank"] == 1)
    assert one["mse"] > run.evaluation()["schedule"]["bound"]  # fewer do not keep it


def test_a_target_that_is_reached_is_reached_without_a_warning(plane, tmp_path):
    run = lorae.train(plane, target_mse=0.05, epochs=30, out=tmp_path / "run", **FAST)
    schedule = run.evaluation()["schedule"]
    assert (schedule["bound"], schedule["reached"]) == (0.05, True)
    assert schedule["mse"] <= 0.05
    assert run.summary()["test_mse"] <= 0.05
    assert ranks_of(run) == ([2] * 5, 2)


@pytest.mark.parametrize(("goal", "shown"), [({"target_mse": 1e-6}, "1e-06"), ({"rank": 0.999999}, "0.999999")])
def test_a_goal_that_is_missed_is_one_line_with_both_errors_and_a_cure(goal, shown, plane, tmp_path):
    with pytest.warns(lorae.LoraeWarning) as caught:
        run = lorae.train(plane, epochs=3, out=tmp_path / "run", **FAST, **goal)
    # PCA with all 20 directions is exact, which three epochs are not: another warning says so.
    (warning,) = (each for each in caught if not isinstance(each.message, ExplainedVarianceWarning))
    message, schedule = str(warning.message), run.evaluation()["schedule"]
    assert "\n" not in message
    (name,) = goal
    for part in (
        f"{name}: got {shown}",
        f"at most {schedule['bound']:.4g}",
        f"is {schedule['mse']:.4g}",
        "raise epochs",
    ):
        assert part in message
    assert warning.filename == __file__  # it points at the call
    assert not schedule["reached"]
    assert schedule["rank"] == 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lorae.resume(run)  # nothing is trained, so nothing is said again


def test_a_path_keeps_a_model_at_every_penalty_and_ends_at_its_knee(plane, tmp_path):
    run = lorae.train(plane, penalty_path=(1e-3, 1, 4), epochs=80, out=tmp_path / "run", **FAST | {"batch_size": 32})
    schedule = run.evaluation()["schedule"]
    points = schedule["points"]
    np.testing.assert_allclose([point["penalty"] for point in points], [1e-3, 1e-2, 1e-1, 1])
    ranks = [point["rank"] for point in points]
    assert all(after <= before + 1 for before, after in pairwise(ranks))
    assert ranks[0] == 20
    assert ranks[-1] <= 2
    aside = Trainer(run, lorae.api.loading.dataset_of(run, plane), quiet=True).context.aside
    for point in points:
        model = lorae.load(run, point=point["point"])
        values = model.singular_values()
        assert rank_at(values, 1e-6) == point["rank"]
        assert model.squared_error(aside) == pytest.approx(point["mse"], rel=1e-5)
    knee = lorae.load(run, point=schedule["knee"])
    assert all(torch.equal(value, knee.state_dict()[name]) for name, value in lorae.load(run).state_dict().items())
    assert ranks_of(run) == ([2] * 5, 2)
    with pytest.raises(lorae.LoraeError, match="point: got '9', expected one of 00, 01, 02, 03"):
        lorae.load(run, point="9")
    # A point is a run, for every command.
    point = Run(run.path / "path" / "03")
    assert point.finished
    assert point.settings.penalties == {"nuclear": 1.0}
    assert point.settings.penalty_path is None
    assert point.config["point"] == {"of": str(run.path), "name": "03"}
    assert point.summary()["rank"] == ranks[-1]
    assert "dimension" in lorae.evaluate(point, only="dimension,rank", bootstrap=5, data=plane, quiet=True)
    small = lorae.truncate(point, data=plane)
    assert lorae.load(small).spec.latent_dim == ranks[-1]
    assert small.path == run.path / "path" / f"03-width{ranks[-1]}"
    with pytest.raises(lorae.LoraeError, match=r"expected one of 00, 01, 02, 03$"):
        lorae.load(run, point="03-width2")


def test_a_path_whose_rank_never_falls_says_so_and_takes_the_best_point(plane, tmp_path):
    with pytest.warns(lorae.LoraeWarning, match="penalty_path: got 1e-08:1e-07, but the rank is 20 at every point"):
        run = lorae.train(plane, penalty_path=(1e-8, 1e-7, 3), epochs=6, out=tmp_path / "run", **FAST)
    schedule = run.evaluation()["schedule"]
    errors = {point["point"]: point["mse"] for point in schedule["points"]}
    assert schedule["knee"] == min(errors, key=errors.get)


def test_a_run_of_one_step_has_the_rank_that_was_asked_for(plane, tmp_path):
    run = lorae.train(plane, rank=3, epochs=1, limit=30, out=tmp_path / "run", **FAST | {"batch_size": 64})
    assert len(list(run.stats("step"))) == 1
    assert ranks_of(run)[1] == 3


def test_a_search_that_learned_nothing_says_so(plane, tmp_path):
    options = FAST | {"lr": 1e-9, "network": "mlp"}
    with pytest.warns(lorae.LoraeWarning, match=r"rank: got auto, but training learned nothing: on items set aside"):
        run = lorae.train(plane, rank="auto", epochs=1, out=tmp_path / "run", **options)
    schedule = run.evaluation()["schedule"]
    assert schedule["mse"] >= schedule["variance"]


def test_a_run_without_a_path_has_no_points(trained):
    with pytest.raises(lorae.LoraeError, match="point: got '00', expected a run with a penalty path"):
        lorae.load(trained, point="00")


def test_items_set_aside_are_not_trained_on(vectors):
    settings = lorae.plan(vectors, rank="auto", epochs=2)["settings"]
    dataset = load_data(DataSettings(), vectors)
    trainer = Trainer(InMemoryRun(Settings.from_values(settings, str), 1), dataset, quiet=True)
    kept, aside = trainer.items.tensor.numpy(), trainer.context.aside
    together = np.concatenate([kept, aside])
    assert len(aside) == round(0.1 * len(dataset.train))
    rows = {row.tobytes() for row in together}
    assert len(rows) == len(together)
    assert rows == {row.tobytes() for row in dataset.train.inputs}


GOALS: dict[str, dict[str, Any]] = {
    "rank": {"rank": 2},
    "target": {"target_mse": 0.3},
    "path": {"penalty_path": "1e-3:1:4"},
}


@pytest.mark.filterwarnings("ignore:penalty_path")  # the path is too short for a rank to fall
@pytest.mark.parametrize("goal", GOALS)
def test_an_interrupted_run_goes_on_to_the_same_bits(goal, vectors, tmp_path, train_until):
    data = tmp_path / "vectors.npy"
    np.save(data, vectors)
    options = GOALS[goal] | {"method": "lorae+", "epochs": 12, "batch_size": 16, "lr": 3e-3, "quiet": True}
    # Stopped in the middle of a search or path, with thresholds that wait: M has not just been factorised.
    options |= {"checkpoint_every": 13, "log_every": 5, "bottleneck": {"noise": 0.1}}
    whole = lorae.train(data, out=tmp_path / "whole", **options)
    train_until(41, data, out=tmp_path / "broken", **options)
    assert Run(tmp_path / "broken").load_checkpoint()["step"] == 39
    resumed = lorae.resume(tmp_path / "broken", quiet=True)
    for path in sorted(whole.path.rglob("*.safetensors")):
        other = resumed.path / path.relative_to(whole.path)
        assert path.read_bytes() == other.read_bytes(), path
    assert resumed.evaluation() == whole.evaluation()

    def ranks(run):
        return [(record["step"], record["rank"]) for record in run.stats()]

    assert ranks(resumed) == ranks(whole)
    json.dumps(resumed.evaluation(), allow_nan=False)
