"""What the explorer computes, against the package's own functions and formulas."""

import shutil
import threading
import time

import numpy as np
import pytest

import lorae
from lorae.errors import LoraeError, NotApplicableError
from lorae.estimator.inputs import weighted_quantile
from lorae.explorer import session as session_module
from lorae.explorer.canonical import CanonicalAxes
from lorae.explorer.session import MEASURED, SHOWN, Session
from lorae.runs import Run
from lorae.samplers import fit_density
from tests.explorer.conftest import KINDS, opened


@pytest.mark.parametrize("kind", KINDS)
def test_codes_without_a_change_give_the_reconstruction(kind, sessions):
    session = sessions(kind)
    content, start = session.content, session.content.start
    made = session.decode(start.codes[:5])
    if content.encodes and start.items is not None:
        raw = content.model.reconstruct(np.asarray(start.items[:5]))
        expected = np.rint(np.clip(raw, 0, 1) * 255) if content.kind == "images" else raw
        # A byte for images; the directions left out hold a millionth of the variance.
        np.testing.assert_allclose(made, expected, atol=1 if content.kind == "images" else 1e-2 * np.std(expected))
    assert made.shape == (5, *content.model.spec.shape)
    assert content.notes == [] or kind in ("gone", "generator")


def test_axes_are_those_of_a_truncation(explored, sessions, tmp_path):
    session = sessions("images")
    run = opened(explored, "images")
    truncation = run.load_model().truncation_of(run.encoder_outputs(), 3)
    axes = session.content.axes
    np.testing.assert_allclose(axes.axes[:, :3], truncation.axes.numpy(), atol=1e-5)
    np.testing.assert_allclose(axes.deviations, truncation.deviations.numpy(), rtol=1e-4, atol=1e-6)
    assert session.content.axes.variance_kept(3) == pytest.approx(1 - truncation.dropped_variance)


def test_a_truncation_to_two_axes_is_the_truncated_run(explored, sessions):
    session = sessions("images")
    small = lorae.load(explored / "truncated")
    items = np.asarray(session.content.start.items)
    found = session.truncated(2)
    expected = np.rint(np.clip(small.reconstruct(items), 0, 1) * 255)
    np.testing.assert_allclose(found.items.astype(float), expected[:SHOWN], atol=1)
    assert found.error == pytest.approx(small.squared_error(items[:MEASURED]), rel=1e-3)
    assert session.truncated(0).variance == 0
    assert len(np.unique(session.truncated(0).items, axis=0)) == 1
    assert session.truncated(session.content.axes.count).variance == pytest.approx(1)


def test_of_a_truncation_only_the_items_that_are_shown_are_kept(sessions):
    for kind in ("images", "vectors"):
        session = sessions(kind)
        assert len(session.content.start) > SHOWN
        session.truncated(1)
        for kept in session._truncated.values():
            whole = kept.items if kept.items.base is None else kept.items.base
            assert len(kept.items) == len(whole) == SHOWN


def test_pictures_are_decoded_one_at_a_time(sessions, monkeypatch):
    running, most = [], []

    def decode(*_):
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        return np.zeros((1, 1, 16, 16), np.uint8)

    monkeypatch.setattr(session_module, "picture_for_model", decode)
    threads = [
        threading.Thread(target=lambda: sessions("images").picture(b"", drawn=False), name=f"upload {number}")
        for number in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5


@pytest.mark.parametrize("kind", ["cut", "of another width"])
def test_a_stored_density_that_does_not_fit_ends_the_session(kind, explored, tmp_path):
    shutil.copytree(explored / "images", tmp_path / "run")
    lorae.sample(tmp_path / "run", 4, sampler="gaussian")
    path = tmp_path / "run" / "samplers" / "gaussian-train.npz"
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:300])
    else:
        fit_density("gaussian", np.random.default_rng(0).normal(size=(20, 3)), components=1, seed=0).save(path)
    with pytest.raises(LoraeError, match=r"gaussian-train\.npz: .*; delete it to fit it anew"):
        Session(tmp_path / "run")


def test_a_generator_moves_along_the_coordinates_of_its_prior(sessions):
    session = sessions("generator")
    width = session.content.model.spec.latent_dim
    assert session.content.axes.count == width
    codes = np.eye(width)[:1]
    np.testing.assert_array_equal(session.content.axes.latents(codes), codes.astype(np.float32))
    assert session.samplers == ("prior",)
    assert session.reason_against("axes") is None
    for view in ("spectrum", "latents", "own"):
        assert "only generates" in session.reason_against(view)
    with pytest.raises(NotApplicableError, match="without an encoder"):
        session.nearest(np.zeros(width, np.float32), 2)


def test_the_ends_of_a_path_are_the_two_items(sessions):
    session = sessions("images")
    ends = session.decode(session.content.start.codes[[0, 3]])
    for kind in ("linear", "spherical"):
        path = session.path(0, 3, kind, 5)
        np.testing.assert_allclose(path[[0, -1]].astype(float), ends, atol=1)
        assert len(path) == 5


def test_a_traversal_changes_one_coordinate(sessions):
    session = sessions("vectors")
    content = session.content
    code = content.start.codes[0]
    made = session.traversal(code, 1, 3, 2.0)
    codes = np.stack([code] * 3)
    codes[:, 1] = np.array([-2.0, 0.0, 2.0]) * content.axes.deviations[1]
    np.testing.assert_allclose(made, session.decode(codes), rtol=1e-5)
    assert codes[0, 0] == code[0]


def test_samples_and_nearest_items(sessions):
    session = sessions("images")
    latents = session.draw("gaussian", 6, 3)
    np.testing.assert_array_equal(latents, session.draw("gaussian", 6, 3))
    assert not np.array_equal(latents, session.draw("gaussian", 6, 4))
    train = session.content.train
    # The latent of a training item is nearest to that item.
    latent = session.content.model.encode(np.asarray(train.items[7:8]))[0]
    found = session.nearest(latent, 3)
    assert found.rows[0] == 7
    assert list(found.distances) == sorted(found.distances)
    np.testing.assert_array_equal(found.items[0], train.items[7])


def test_a_density_of_the_run_folder_is_used_as_it_is(explored, tmp_path):
    shutil.copytree(explored / "images", tmp_path / "run")
    drawn = lorae.sample(tmp_path / "run", 4, sampler="gaussian", seed=2)
    session = Session(tmp_path / "run")
    session.background.wait(60)
    np.testing.assert_array_equal(session.decode_latents(session.draw("gaussian", 4, 2)), drawn)


def test_the_folder_of_the_run_stays_as_it_is(explored, tmp_path):
    shutil.copytree(explored / "vectors", tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    session = Session(tmp_path / "run")
    session.background.wait(60)
    session.truncated(2)
    session.draw("mixture", 3, 0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_the_anomaly_score_is_that_of_the_estimator(sessions):
    session = sessions("vectors")
    content = session.content
    items = np.asarray(content.train.items)
    errors = content.model.squared_errors(items)
    threshold = weighted_quantile(errors, 0.9, None)
    scored = session.scored(np.asarray(items[4]))
    assert scored.error == pytest.approx(errors[4], rel=1e-3)
    assert scored.anomaly == pytest.approx(errors[4] / threshold, rel=1e-3)
    assert scored.share == pytest.approx((errors < errors[4]).mean(), abs=0.02)
    far = np.array(items[4])
    far[0] += 50 * content.model.scaling.scale[0].item()
    assert session.scored(far).anomaly > 10


def test_without_its_data_a_run_is_explored_with_what_it_keeps(sessions, explored, images):
    content = sessions("gone").content
    assert len(content.start) == 10  # all test items, of which at most 32 are kept
    assert content.train.items is None
    assert "no longer there" in content.notes[0]
    found = sessions("gone").nearest(content.latents[3], 2)
    assert found.distances[0] == pytest.approx(0, abs=1e-5)
    assert found.items.shape == (2, 1, 16, 16)
    assert Session(explored / "gone", data=images).content.notes == []


def test_a_run_that_keeps_nothing_needs_its_data(explored, tmp_path):
    shutil.copytree(explored / "gone", tmp_path / "run")
    (tmp_path / "run" / "encoder_outputs.safetensors").unlink()
    with pytest.raises(LoraeError, match="trained on an array in memory"):
        Session(tmp_path / "run")


def test_a_collapsed_model_is_explained(explored, tmp_path):
    axes = CanonicalAxes.of_latents(np.ones((5, 3), np.float32))
    assert (axes.count, axes.variance_kept(1)) == (0, 0.0)
    with pytest.raises(lorae.DivergedError, match="diverged"):
        CanonicalAxes.of_latents(np.full((5, 3), np.nan, np.float32))
    shutil.copytree(explored / "gone", tmp_path / "run")
    run = Run(tmp_path / "run")
    run.keep("encoder_outputs", np.ones_like(run.encoder_outputs()))
    session = Session(run)
    assert "collapsed" in session.reason_against("axes")
    assert session.reason_against("own") is None
