import json
import threading

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import lorae
from lorae.config.methods import METHODS
from lorae.errors import LoraeError, LoraeWarning
from lorae.runs.run import Run
from tests.edited_records import read_edited

pytestmark = pytest.mark.usefixtures("blank_figures")


def weights_of(run):
    return lorae.load(run).state_dict()


def assert_same_weights(one, other):
    for name, value in weights_of(one).items():
        assert torch.equal(value, weights_of(other)[name]), name


ENCODING = [name for name, method in METHODS.items() if method.encodes]
GENERATING = [name for name, method in METHODS.items() if not method.encodes]


@pytest.mark.parametrize("method", ENCODING)
def test_every_method_learns_on_images(method, images, small, tmp_path):
    # These first ignore their latents, or shrink their volume.
    slow = method in ("vae", "beta-vae", "vae-flow", "least-volume")
    changes: dict[str, float | None] = {"epochs": 60 if slow else 25, "width": 0.25}
    changes["penalty"] = 1e-4 if METHODS[method].main else None
    run = lorae.train(images, method=method, out=tmp_path / "run", lr=5e-3, **small | changes)
    mean_image_error = float(((images / 255 - (images / 255).mean(0)) ** 2).mean())
    assert run.summary()["test_mse"] < 0.8 * mean_image_error


@pytest.mark.parametrize("method", ENCODING)
def test_every_method_learns_on_vectors(method, vectors, tmp_path):
    # The defaults of these weigh against an error summed over an image.
    penalty = {"wae-gan": 0.1, "beta-vae": 1.0}.get(method)
    run = lorae.train(vectors, method=method, epochs=60, lr=3e-3, penalty=penalty, out=tmp_path / "run", quiet=True)
    assert run.summary()["test_mse"] < 0.5 * 5 / 6  # standardised, with one constant column of six
    assert lorae.load(run).reconstruct(vectors[:3]).shape == (3, 6)


@pytest.mark.parametrize("method", GENERATING)
def test_generators_sample_and_say_what_they_cannot_do(method, image_file, small, tmp_path):
    run = lorae.train(image_file, method=method, out=tmp_path / "run", **small | {"penalty": None})
    summary = run.summary()
    assert (summary["rank"], summary["test_mse"]) == (None, None)
    assert set(summary["loss"]) == {"total", "generator", "discriminator"}
    assert lorae.sample(run, 5).shape == (5, 1, 16, 16)
    for call in (lorae.reconstruct, lorae.spectrum, lorae.interpolate):
        with pytest.raises(lorae.LoraeError, match="only generates"):
            call(run)
    with pytest.raises(lorae.LoraeError, match="only generates"):
        lorae.evaluate(run, only="rank", quiet=True)
    assert "gan" in (run.path / "report.html").read_text()


def test_seed_fixes_everything(image_file, small, tmp_path):
    one, same, other = (
        lorae.train(image_file, seed=seed, out=tmp_path / name, **small)
        for name, seed in (("one", 5), ("same", 5), ("other", 6))
    )
    assert_same_weights(one, same)
    assert not torch.equal(*[weights_of(run)["encoder.output.weight"] for run in (one, other)])
    assert one.config["data"] == other.config["data"]  # the split does not follow the seed


def test_training_leaves_torchs_own_generator_alone(image_file, small, tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    lorae.train(image_file, out=tmp_path / "run", **small)
    assert torch.equal(torch.rand(4), expected)


def test_config_is_complete_and_trains_the_same_run_again(trained, tmp_path):
    again = lorae.train(trained.settings.data, config=trained.path / "config.json", out=tmp_path / "again", quiet=True)
    assert again.settings == trained.settings
    assert_same_weights(again, trained)


def test_statistics_have_every_term_beside_its_weight(trained):
    for record in trained.stats("step"):
        assert set(record["terms"]) == set(record["weights"]) == {"reconstruction", "nuclear"}
        total = sum(record["terms"][name] * record["weights"][name] for name in record["terms"])
        assert record["loss"] == pytest.approx(total, rel=1e-5)
    assert [record["epoch"] for record in trained.stats("epoch")] == [1, 2]
    assert trained.summary()["loss"]["total"] == list(trained.stats("step"))[-1]["loss"]


def test_penalty_grows_during_its_warm_up_and_the_rate_follows_a_cosine(image_file, small, tmp_path):
    run = lorae.train(image_file, out=tmp_path / "run", penalty_warmup=1, schedule="cosine", log_every=1, **small)
    weights = [record["weights"]["nuclear"] for record in run.stats("step")]
    half = len(weights) // 2
    np.testing.assert_allclose(weights[:half], 1e-3 * np.arange(half) / half, rtol=1e-6)
    assert set(weights[half:]) == {1e-3}
    rate = run.load_checkpoint()["optimizers"][0]["param_groups"][0]["lr"]
    last = 1 - 1 / len(weights)
    assert rate == pytest.approx(1e-3 * 0.5 * (1 + np.cos(np.pi * last)))


def test_a_run_from_before_a_setting_was_there_goes_on(image_file, small, tmp_path, train_until):
    options = small | {"epochs": 3, "checkpoint_every": 4}
    whole = lorae.train(image_file, out=tmp_path / "whole", **options)
    train_until(5, image_file, out=tmp_path / "old", **options)
    config = read_edited(tmp_path / "old" / "config.json")
    del config["settings"]["penalty_every"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    path = Run(tmp_path / "old").checkpoint_path
    state = torch.load(path, weights_only=True)
    del state["settings"]["penalty_every"]
    torch.save(state, path)
    assert_same_weights(whole, lorae.resume(tmp_path / "old", quiet=True))


def test_finished_run_is_given_back_as_it_is(trained):
    before = (trained.path / "model.safetensors").stat().st_mtime_ns
    assert lorae.resume(trained.path).summary() == trained.summary()
    assert (trained.path / "model.safetensors").stat().st_mtime_ns == before


def test_checkpoint_of_other_settings_is_refused(image_file, small, tmp_path):
    run = lorae.train(image_file, out=tmp_path / "run", **small)
    (run.path / "model.json").unlink()
    config = read_edited(run.path / "config.json")
    config["settings"] |= {"lr": 0.5, "seed": 9}
    (run.path / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoraeError, match=r"lr 0\.001 there, 0\.5 here, seed 0 there, 9 here"):
        lorae.resume(run.path)


def test_damaged_checkpoint_is_named(image_file, small, tmp_path):
    run = lorae.train(image_file, out=tmp_path / "run", **small)
    (run.path / "model.json").unlink()
    run.checkpoint_path.write_bytes(run.checkpoint_path.read_bytes()[:1000])
    with pytest.raises(LoraeError, match=r"last\.pt: not a readable checkpoint"):
        lorae.resume(run.path)


def test_changed_data_are_refused(images, small, tmp_path):
    np.save(tmp_path / "a.npy", images)
    run = lorae.train(tmp_path / "a.npy", out=tmp_path / "run", **small)
    np.save(tmp_path / "a.npy", images[::-1])
    with pytest.raises(LoraeError, match="files have changed"):
        lorae.evaluate(run, only="rank")


def test_an_update_that_breaks_the_model_never_reaches_a_checkpoint(image_file, small, tmp_path):
    with pytest.raises(LoraeError, match=r"loss: not finite at step 1 \(epoch 1\): test error nan; try lr=1e\+29 in"):
        lorae.train(image_file, out=tmp_path / "run", **small | {"lr": 1e30, "epochs": 50, "checkpoint_every": 1})
    assert Run(tmp_path / "run").load_checkpoint() is None  # the first update already breaks the model


def test_the_checkpoint_before_a_loss_that_is_not_finite_is_kept(image_file, small, tmp_path, monkeypatch):
    def poisoned(trainer):
        if trainer.step == 9:
            trainer.items.tensor = trainer.items.tensor.float() * torch.nan
        return torch.arange(16)

    monkeypatch.setattr("lorae.training.trainer.Trainer._rows", poisoned)
    with pytest.raises(LoraeError, match=r"loss: not finite at step 10 \(epoch 2\): loss nan, .*last\.pt"):
        lorae.train(image_file, out=tmp_path / "run", **small | {"checkpoint_every": 4})
    checkpoint = Run(tmp_path / "run").load_checkpoint()
    assert checkpoint["step"] == 8
    assert all(value.isfinite().all() for value in checkpoint["model"].values())


def test_penalty_that_does_not_fit_the_method_leaves_no_folder(image_file, small, tmp_path):
    with pytest.raises(LoraeError, match="acts on the linear layer M"):
        lorae.train(
            image_file, method="ae", penalties={"nuclear": 1.0}, out=tmp_path / "run", **small | {"penalty": None}
        )
    assert not (tmp_path / "run").exists()


def test_existing_folder_is_never_overwritten(trained, image_file, small, tmp_path):
    with pytest.raises(LoraeError, match="lorae resume"):
        lorae.train(image_file, out=trained.path, **small)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(LoraeError, match="never overwritten; choose another"):
        lorae.train(image_file, out=tmp_path, **small)
    (tmp_path / "empty").mkdir()
    assert lorae.train(image_file, out=tmp_path / "empty", **small).finished


def test_a_run_is_not_trained_by_two_at_once(image_file, small, tmp_path):
    run = lorae.train(image_file, out=tmp_path / "run", **small)
    (run.path / "model.json").unlink()
    with run.locked(), pytest.raises(LoraeError, match="trained by another process"):
        lorae.resume(run.path)
    assert lorae.resume(run.path).finished


def test_a_run_is_read_from_anywhere(images, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("squares.npy", images)
    lorae.train("squares.npy", out="run", **small)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert lorae.spectrum("../run").n == 10


def test_a_run_does_not_go_into_its_data_folder(tmp_path, small):
    from PIL import Image

    for index in range(30):
        Image.fromarray(np.full((16, 16), index * 8, np.uint8)).save(tmp_path / f"{index}.png")
    with pytest.raises(LoraeError, match="lies in the data folder"):
        lorae.train(tmp_path, out=tmp_path / "runs" / "a", size=16, **small)


def test_batches_of_one_and_short_last_batches(image_file, small, tmp_path):
    options = small | {"batch_size": 1, "log_every": 1, "epochs": 1, "limit": 3}
    run = lorae.train(image_file, out=tmp_path / "one", **options)
    assert next(run.stats("step"))["rank"] is None
    run = lorae.train(image_file, out=tmp_path / "short", **small | {"limit": 20})
    assert run.summary()["epochs"] == 2
    with pytest.raises(LoraeError, match="1 of 11 items are in the training split"):
        lorae.train(image_file, out=tmp_path / "none", limit=1, **small)


def test_data_of_a_config_file_are_used(trained, tmp_path):
    planned = lorae.plan(config=trained.path / "config.json", out=tmp_path / "run")
    assert planned["settings"]["data"] == trained.settings.data


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_damaged_model_is_named(name, image_file, small, tmp_path):
    run = lorae.train(image_file, out=tmp_path / "run", **small)
    content = (run.path / name).read_bytes()
    (run.path / name).write_bytes(content[: len(content) // 2] if name == "model.safetensors" else b'{"a": 1}')
    fault = {"model.safetensors": r"does not hold the model of model\.json", "model.json": "latent_dim is missing"}[
        name
    ]
    with pytest.raises(LoraeError, match=rf"{fault}.*delete model\.json and run"):
        lorae.load(run)


def test_training_works_outside_the_main_thread(image_file, small, tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(lorae.train(image_file, out=tmp_path / "run", **small)))
    thread.start()
    thread.join()
    assert results[0].finished


def test_runs_on_arrays_ask_for_the_array_again(images, small, tmp_path):
    run = lorae.train(images, out=tmp_path / "run", **small)
    with pytest.raises(LoraeError, match="pass data=ARRAY"):
        lorae.evaluate(run, only="rank")
    assert lorae.spectrum(run).rank == run.summary()["rank"]
    assert lorae.spectrum(run, data=images).rank == run.summary()["rank"]


def test_limit_takes_the_first_items_and_leaves_the_test_split(image_file, small, tmp_path):
    whole, first = lorae.load_data(image_file), lorae.load_data(image_file, limit=10)
    np.testing.assert_array_equal(first.train.inputs, whole.train.inputs[:10])
    assert len(first.test) == len(whole.test)
    run = lorae.train(image_file, limit=10, out=tmp_path / "run", **small)
    assert run.config["data"]["splits"]["train"] == 10


def test_a_network_that_died_is_told(image_file, small, tmp_path):
    """Its outputs saturate in the first steps, and its error stays finite and far above that of a constant."""
    with pytest.warns(LoraeWarning) as caught:
        run = lorae.train(image_file, out=tmp_path / "run", **small | {"lr": 1.0, "epochs": 40, "network": "mnist"})
    (warning,) = caught
    assert warning.filename == __file__
    message = str(warning.message)
    assert message.startswith("lr: got 1, and training learned nothing: the error is ")
    ratio = float(message.split(" times ")[0].split()[-1])
    data = np.asarray(lorae.load_data(image_file).train.inputs, dtype=np.float64) / 255
    assert ratio == pytest.approx(run.summary()["test_mse"] / data.var(axis=0).mean(), rel=0.3)
    assert ratio > 2


def test_items_that_are_all_the_same_are_trained_on_without_a_word(small, tmp_path, monkeypatch, blank_figures):
    """There is no variance to explain, so nobody is worse than the mean."""
    monkeypatch.setattr(Figure, "savefig", blank_figures)  # drawing them says nothing either
    items = np.full((40, 1, 32, 32), 128, dtype=np.uint8)
    for name, goal in {"plain": {}, "exact": {"method": "lorae+"}, "auto": {"rank": "auto"}}.items():
        run = lorae.train(items, out=tmp_path / name, **small | {"epochs": 80, **goal})
        assert run.finished


@pytest.mark.parametrize(("pause", "written"), [(0.0, 6), (1e9, 2)])
def test_short_epochs_do_not_write_a_checkpoint_each(pause, written, image_file, small, tmp_path, monkeypatch):
    steps = []
    save = Run.save_checkpoint
    monkeypatch.setattr("lorae.training.checkpointing.CHECKPOINT_PAUSE", pause)
    monkeypatch.setattr(Run, "save_checkpoint", lambda run, state: steps.append(state["step"]) or save(run, state))
    run = lorae.train(image_file, out=tmp_path / "run", **small | {"epochs": 6})
    assert len(steps) == written
    assert steps[-1] == max(record["step"] for record in run.stats())
    assert len(list(run.stats("epoch"))) == 6


@pytest.mark.parametrize(("batch_size", "advice"), [(16, "batch_size=8 "), (1, "width=0.0625 ")])
def test_too_little_memory_on_a_gpu_is_said_in_one_line(batch_size, advice, image_file, small, tmp_path, monkeypatch):
    def no_memory(items):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation.")

    monkeypatch.setattr("lorae.training.trainer.build_step", lambda *arguments, **options: no_memory)
    with pytest.raises(LoraeError, match=f"batch_size: got {batch_size}, .* try {advice}") as caught:
        lorae.train(image_file, out=tmp_path / "run", **small | {"batch_size": batch_size})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_cut_file_of_statistics_is_said_when_a_run_goes_on(kept, image_file, small, tmp_path, train_until):
    options = small | {"epochs": 4, "checkpoint_every": 1, "out": tmp_path / "run"}
    items = len(lorae.load_data(image_file).train)
    steps = -(-items // small["batch_size"])
    train_until(3 * steps + 1, image_file, **options)
    path = tmp_path / "run" / "stats.jsonl"
    epochs = [line for line in path.read_text().splitlines(keepends=True) if '"epoch",' in line]
    path.write_text("".join(epochs[:kept]))
    said = rf"{3 - kept} of 3 epochs before step {3 * steps + 1} have no record, from step {(kept + 1) * steps} on"
    with pytest.warns(LoraeWarning, match=said):
        lorae.resume(tmp_path / "run", quiet=True)
    assert len(list(Run(tmp_path / "run").stats("epoch"))) == kept + 1
