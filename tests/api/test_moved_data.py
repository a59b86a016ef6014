"""A run whose training data are gone does what needs no data, and says of the rest how to point to them."""

import shutil

import numpy as np
import pytest

import lorae
from lorae.errors import LoraeError, LoraeWarning

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def orphan(images, small, tmp_path_factory):
    """A finished run whose data file was moved and is not in the cache of the tests, and the file's new place."""
    folder = tmp_path_factory.mktemp("moved")
    np.save(folder / "squares.npy", images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORAE_CACHE", str(folder / "cache"))
        run = lorae.train(folder / "squares.npy", out=folder / "run", **small)
        lorae.sample(run, 2)
    (folder / "elsewhere").mkdir()
    (folder / "squares.npy").rename(folder / "elsewhere" / "moved.npy")
    return run, folder / "elsewhere" / "moved.npy"


WITHOUT_DATA = {
    "spectrum": ["spectrum", "RUN"],
    "spectrum at a tolerance": ["spectrum", "RUN", "--tolerance", "0.1"],
    "report": ["report", "RUN"],
    "compare": ["compare", "RUN", "RUN", "--out", "OUT.html"],
    "sample": ["sample", "RUN", "--out", "OUT.npy"],
    "resume": ["resume", "RUN"],
    "truncate": ["truncate", "RUN", "--rank", "2", "--out", "OUT"],
    "export": ["export", "RUN", "--rank", "2", "--out", "OUT"],
    "reconstruct given items": ["reconstruct", "RUN", "--data", "MOVED", "--out", "OUT.png"],
}
# These use the test items that the run keeps.
WITH_KEPT_ITEMS = {
    "reconstruct": ["reconstruct", "RUN"],
    "interpolate": ["interpolate", "RUN", "--pairs", "2"],
}
WITH_DATA = {
    "evaluate": ["evaluate", "RUN", "--only", "reconstruction"],
    "sample like test items": ["sample", "RUN", "--fit-on", "test"],
}


@pytest.fixture
def command(orphan, run_cli, tmp_path, monkeypatch):
    """Run a command on the orphan in an empty folder, with an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    places = {"RUN": str(orphan[0].path), "MOVED": str(orphan[1])}
    return lambda words: run_cli(*(places.get(word, word) for word in words))


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_commands_that_need_no_data_work_without(name, command):
    code, printed, errors = command(WITHOUT_DATA[name])
    assert (code, errors) == (0, "")
    assert printed


@pytest.mark.parametrize("name", WITH_KEPT_ITEMS)
def test_commands_that_show_test_items_use_those_that_are_kept_and_say_so(name, command, orphan):
    code, printed, errors = command(WITH_KEPT_ITEMS[name])
    assert code == 0
    assert errors.startswith("lorae: warning: data: they are not there; these are of the first 10 test items")
    assert errors.count("\n") == 1
    code, with_data, errors = command([*WITH_KEPT_ITEMS[name], "--data", "MOVED"])
    assert (code, errors, with_data) == (0, "", printed)


@pytest.mark.parametrize("name", WITH_DATA)
def test_commands_that_need_the_data_take_their_new_place(name, command, orphan):
    code, printed, errors = command(WITH_DATA[name])
    assert (code, printed) == (2, "")
    assert errors.count("\n") == 1
    assert "squares.npy' on which" in errors.replace(",", "")
    assert "if it was moved, pass --data PATH" in errors
    code, printed, errors = command([*WITH_DATA[name], "--data", "MOVED"])
    assert (code, errors) == (0, "")
    assert printed


def test_truncations_without_the_data_are_those_with_them(orphan, tmp_path, monkeypatch, images):
    run, moved = orphan
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    without = lorae.truncate(run, 2, tmp_path / "without")  # first: afterwards the data are in the cache
    with_data = lorae.truncate(run, 2, tmp_path / "with", data=moved)
    expected, found = (lorae.load(each).encode(images) for each in (with_data, without))
    np.testing.assert_array_equal(found, expected)
    assert without.summary()["rank"] == 2
    assert without.summary()["test_mse"] is None
    assert "squares.npy" in without.evaluation()["skipped"]["reconstruction"]
    assert (without.path / "report.html").exists()
    np.testing.assert_allclose(without.encoder_outputs(), with_data.encoder_outputs(), atol=1e-5)
    again = lorae.evaluate(without, only="reconstruction", data=moved, quiet=True)["reconstruction"]
    assert again == with_data.evaluation()["reconstruction"]
    assert "reconstruction" not in without.evaluation().get("skipped", {})


def test_a_density_of_a_run_without_its_data_is_that_of_the_latents_it_keeps(orphan, tmp_path, monkeypatch):
    run, moved = orphan
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    with pytest.warns(LoraeWarning, match=r"fitted to the latents of the \d+ training items whose encoder outputs"):
        found = lorae.sample(run, 5, sampler="mixture", components=2)
    # All training items are kept of so few, so that both densities are the same.
    np.testing.assert_array_equal(found, lorae.sample(run, 5, sampler="mixture", components=2, data=moved))


def test_paths_between_kept_items_are_those_between_the_same_test_items(orphan, tmp_path, monkeypatch):
    run, moved = orphan
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    with pytest.warns(LoraeWarning, match="kept with the run"):
        kept = lorae.interpolate(run, pairs=[(0, 7)], steps=4, out=tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {f"interpolation-{name}.png" for name in kept}
    np.testing.assert_array_equal(kept["linear"], lorae.interpolate(run, pairs=[(0, 7)], steps=4, data=moved)["linear"])


def test_a_run_that_keeps_no_items_asks_for_the_data(orphan, tmp_path, monkeypatch, run_cli):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(orphan[0].path, tmp_path / "run")
    (tmp_path / "run" / "reference_items.safetensors").unlink()
    for command in ("reconstruct", "interpolate"):
        code, _, errors = run_cli(command, tmp_path / "run")
        assert code == 2
        assert "if it was moved, pass --data PATH" in errors


def test_a_truncation_without_the_data_keeps_the_items_of_its_source(orphan, tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    small = lorae.truncate(orphan[0], 2, tmp_path / "small")
    np.testing.assert_array_equal(small.reference_items(), orphan[0].reference_items())


def test_kept_outputs_that_are_damaged_are_refused_in_one_line(orphan, tmp_path, run_cli):
    copy = tmp_path / "run"
    shutil.copytree(orphan[0].path, copy)
    (copy / "encoder_outputs.safetensors").write_bytes(b"no tensors")
    code, printed, errors = run_cli("truncate", copy, "--rank", "2", "--out", tmp_path / "out")
    assert (code, printed) == (2, "")
    assert "encoder_outputs.safetensors: does not hold outputs of an encoder" in errors
    assert errors.count("\n") == 1


def test_data_in_the_cache_stand_in_for_their_file(images, small, tmp_path):
    np.save(tmp_path / "squares.npy", images)
    run = lorae.train(tmp_path / "squares.npy", out=tmp_path / "run", limit=40, **small)
    before = lorae.evaluate(run, only="reconstruction", quiet=True)["reconstruction"]
    (tmp_path / "squares.npy").unlink()
    assert lorae.evaluate(run, only="reconstruction", quiet=True)["reconstruction"] == before


def test_other_data_in_that_place_are_refused(orphan, tmp_path):
    np.save(tmp_path / "other.npy", np.zeros((30, 16, 16), np.uint8))
    with pytest.raises(LoraeError, match=r"has fingerprint .* expected"):
        lorae.evaluate(orphan[0], only="reconstruction", data=tmp_path / "other.npy")
    with pytest.raises(LoraeError, match=r"has fingerprint .* expected"):
        lorae.export_run(orphan[0], rank=2, out=tmp_path / "out", data=tmp_path / "other.npy")


def test_a_run_on_an_array_takes_the_array_or_a_file_of_it(images, small, tmp_path, run_cli):
    run = lorae.train(images, out=tmp_path / "run", **small)
    np.save(tmp_path / "file.npy", images)
    code, _, errors = run_cli("evaluate", run.path, "--only", "reconstruction")
    assert code == 2
    assert "pass --data ARRAY, the array or a file of it" in errors
    assert run_cli("evaluate", run.path, "--only", "reconstruction", "--data", tmp_path / "file.npy")[0] == 0
    assert lorae.evaluate(run, only="reconstruction", data=images, quiet=True)["reconstruction"]["mse"] > 0


def test_a_loaded_model_needs_no_data(orphan, images):
    model = lorae.load(orphan[0])
    codes = model.encode(images)
    assert model.decode(codes).shape == model.reconstruct(images).shape == images.shape
    assert model.spectrum(images).rank >= 1
    assert model.truncate(images, 2).encode(images).shape == (96, 2)


def test_the_stored_spectrum_is_the_measured_one(trained):
    stored, measured = lorae.spectrum(trained), lorae.spectrum(trained, data=trained.settings.data)
    assert stored.to_json() == measured.to_json()


def test_given_items_of_another_size_are_prepared_as_in_training(trained, tmp_path):
    np.save(tmp_path / "large.npy", np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8))
    assert lorae.reconstruct(trained, data=tmp_path / "large.npy", out=tmp_path / "drawn.png").exists()
