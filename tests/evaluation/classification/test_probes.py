import json
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lorae.evaluation.classification import probe, probes, total_draws
from lorae.evaluation.classification.protocol import draw_evenly


def test_separable_clusters_are_told_apart(separable):
    told: list[int] = []
    counts: list[int | str] = [4, 100, "all", 1000]
    result = probe(*separable, counts=counts, seeds=range(3), advance=told.append)
    for name in ("logistic", "knn"):
        assert result[name]["100"]["mean"] > 0.97
        assert result[name]["all"]["mean"] > 0.98
        assert [len(result[name][count]["values"]) for count in ("4", "100", "all")] == [3, 3, 1]
        assert result[name]["all"]["sd"] == 0
    assert all(row["converged"] for row in result["logistic"].values())
    assert result["logistic"]["all"]["n"] == 600
    assert result["left_out"] == [1000]
    assert sum(told) == total_draws(600, counts=counts, seeds=range(3)) == 7
    assert json.loads(json.dumps(result)) == result


def test_random_labels_give_chance(hopeless):
    result = probe(*hopeless, counts=["all"])
    for name in ("logistic", "knn"):
        assert result[name]["all"]["mean"] == pytest.approx(0.25, abs=0.04)


def test_logistic_agrees_with_scikit_learn(separable):
    train, labels, test, test_labels = separable
    scaled, scaled_test = ((part - train.mean(0)) / train.std(0) for part in (train, test))
    result = probe(*separable, counts=[60, "all"], seeds=[5])["logistic"]
    rows = draw_evenly(labels - 3, np.random.default_rng(5).permutation(600), 60)
    for name, chosen in (("60", rows), ("all", np.arange(600))):
        model = LogisticRegression(max_iter=2000, tol=1e-8).fit(scaled[chosen].astype(np.float64), labels[chosen])
        assert result[name]["mean"] == pytest.approx(model.score(scaled_test, test_labels), abs=0.003)


def test_neighbours_agree_with_brute_force(hopeless):
    train, labels, test, test_labels = (array[:300] for array in hopeless)
    right = 0
    for x, true in zip(test, test_labels, strict=True):
        nearest = labels[np.argsort(((train - x).astype(np.float64) ** 2).sum(1))[:5]].tolist()
        most = max(nearest.count(label) for label in nearest)
        right += next(label for label in nearest if nearest.count(label) == most) == true
    found = probe(train, labels, test, test_labels, counts=["all"])["knn"]["all"]["mean"]
    assert found == pytest.approx(right / 300)


def test_ties_go_to_the_nearest():
    votes = np.array([[1, 0, 0, 1, 2], [3, 2, 1, 0, 4], [0, 1, 1, 0, 1]])
    assert probes._vote(votes).tolist() == [1, 3, 1]


def test_constant_columns_are_no_trouble(separable):
    train, labels, test, test_labels = separable
    noise = np.random.default_rng(0).normal(size=(1000, 1)).astype(np.float32)
    columns = [np.zeros_like(noise), np.full_like(noise, 7.3), 1e-9 * noise, 300 + 3e-5 * noise]
    extra = np.hstack(columns).astype(np.float32)
    plain = probe(*separable, counts=["all"])["logistic"]["all"]
    padded = probe(
        np.hstack([train, extra[:600]]), labels, np.hstack([test, extra[600:]]), test_labels, counts=["all"]
    )["logistic"]["all"]
    assert padded["mean"] == pytest.approx(plain["mean"], abs=0.003)
    collapsed = np.full((600, 2), 0.1, np.float32)
    assert probe(collapsed, labels, collapsed[:400], test_labels, counts=["all"])["knn"]["all"]["mean"] < 0.5


def test_a_fit_that_stops_early_says_so(separable, monkeypatch):
    monkeypatch.setattr(probes, "MAX_ITERATIONS", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = probe(*separable, counts=[20], seeds=[0])
    assert result["logistic"]["20"]["converged"] is False
