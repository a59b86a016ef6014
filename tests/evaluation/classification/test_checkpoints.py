import json
import multiprocessing
from typing import Any

import numpy as np
import pytest
import torch

import lorae
from lorae.errors import LoraeError
from lorae.evaluation.classification import TrainingCheckpoints, classify, supervised
from lorae.evaluation.classification import checkpoints as unfinished
from lorae.evaluation.classification.fitting import Training
from lorae.evaluation.classification.heads import Heads
from lorae.evaluation.classification.supervised import Supervised
from lorae.models.autoencoder import Scaling
from lorae.runs.run import Run

from .test_supervised import SMALL, bars

pytestmark = pytest.mark.usefixtures("blank_figures")

# Two epochs of one batch, and two of three, of which the last is smaller: 2 + 6 steps.
OPTIONS: dict[str, Any] = {"counts": [20, 250], "seeds": [0, 1], "epochs": 2}
STEPS = 8


@pytest.fixture(autouse=True)
def _at_every_step(monkeypatch):
    monkeypatch.setattr(unfinished, "PAUSE", 0.0)


@pytest.fixture
def latents():
    """Raw pixels as latents: what is trained on them does not matter here."""
    images, labels = bars(300, 0)
    tests, test_labels = bars(100, 1)
    return images.reshape(300, -1) / 255, labels, tests.reshape(100, -1) / 255, test_labels


@pytest.fixture
def items():
    return (*bars(300, 0), *bars(100, 1))


@pytest.fixture
def weights(monkeypatch):
    """The weights that every training of a test ends with, those of the last step and those that are kept."""
    found, finish = [], Training.finish

    def watched(training):
        found.append([parameter.detach().clone() for parameter in (*training.model.parameters(), *training.kept)])
        return finish(training)

    monkeypatch.setattr(Training, "finish", watched)
    return found


def killed_after(steps):
    """An `advance` that interrupts after so many steps, and the list of steps it was told of."""
    told: list[int] = []

    def advance(count):
        told.append(count)
        if len(told) == steps:
            raise KeyboardInterrupt

    return advance, told


def interrupt(data, folder, steps, **options):
    """A call that is killed after so many steps, its files left in the folder."""
    advance, _ = killed_after(steps)
    with pytest.raises(KeyboardInterrupt), TrainingCheckpoints(folder) as kept:
        classify(*data, **OPTIONS | options, advance=advance, trainings=kept)


def finish(data, folder, **options):
    """A call that comes to its end and forgets; the steps it was told of."""
    told: list[int] = []
    with TrainingCheckpoints(folder) as kept:
        classify(*data, **OPTIONS | options, advance=told.append, trainings=kept)
        kept.forget()
    return told


def same(first, second):
    return len(first) == len(second) and all(torch.equal(*pair) for pair in zip(first, second, strict=True))


# Between two batches of an epoch (3, 4, 6, 7), between two epochs (1, 5), and between two trainings (2).
@pytest.mark.parametrize("killed", range(1, STEPS))
@pytest.mark.parametrize("method", ["classify", "supervised"])
def test_a_killed_training_goes_on_to_the_same_weights(method, killed, latents, items, weights, tmp_path):
    def train(**others):
        if method == "classify":
            return classify(*latents, **OPTIONS, **others)
        return supervised(*items, **OPTIONS, **SMALL, **others)

    expected = train()
    whole, seeds = list(weights), 2 if method == "supervised" else 1
    assert len(whole) == 2 * seeds
    weights.clear()
    advance, told = killed_after(killed)
    with pytest.raises(KeyboardInterrupt), TrainingCheckpoints(tmp_path / "kept") as kept:
        train(advance=advance, trainings=kept)
    done = len(weights)
    told = []
    with TrainingCheckpoints(tmp_path / "kept") as kept:
        assert train(advance=told.append, trainings=kept) == expected
    assert all(same(*pair) for pair in zip(weights, whole, strict=True))
    assert sum(told) == STEPS * seeds
    # What was done before comes in one piece, or one a finished training: only the rest is done step by step.
    assert len(told) <= STEPS * seeds - killed + done + 1
    assert json.loads(json.dumps(expected)) == expected


def test_a_finished_training_is_not_done_again(latents, tmp_path):
    interrupt(latents, tmp_path / "kept", 7)
    assert finish(latents, tmp_path / "kept") == [2, 5, 1]


def test_what_is_done_is_forgotten_and_nothing_else(latents, tmp_path):
    folder = tmp_path / "kept"
    interrupt(latents, folder, 4, counts=[250])
    finish(latents, folder, counts=[4, 20])
    (path,) = folder.iterdir()
    assert path.name.startswith("250-labels-")
    assert finish(latents, folder, counts=[250]) == [4, 1, 1]
    assert not list(tmp_path.iterdir())


def test_results_are_kept_until_they_are_forgotten(latents, tmp_path):
    with TrainingCheckpoints(tmp_path / "kept") as kept:
        classify(*latents, **OPTIONS, trainings=kept)
    assert finish(latents, tmp_path / "kept") == [2, 6]


def test_many_seeds_have_a_file_too(latents, tmp_path):
    interrupt(latents, tmp_path / "kept", 1, counts=[4], seeds=range(100))
    assert finish(latents, tmp_path / "kept", counts=[4], seeds=range(100)) == [1, 1]


@pytest.mark.parametrize("change", ["latents", "labels", "epochs", "protocol", "test", "test labels"])
def test_another_training_never_takes_up_what_was_kept(change, latents, tmp_path):
    interrupt(latents, tmp_path / "kept", 6)
    train, labels, tests, test_labels = latents
    options = dict(OPTIONS)
    if change == "latents":
        train = train + 0.01
    if change == "labels":
        labels = 1 - labels
    if change == "test":
        tests = np.roll(tests, 1, axis=0)
    if change == "test labels":
        test_labels = 1 - test_labels
    if change in ("epochs", "protocol"):
        options |= {"epochs": 3} if change == "epochs" else {"protocol": "authors_code"}
    told = finish((train, labels, tests, test_labels), tmp_path / "kept", **options)
    assert set(told) == {1}


@pytest.mark.parametrize("damage", ["cut", "empty", "one bit"])
def test_a_damaged_file_is_refused_and_says_what_to_do(damage, latents, tmp_path):
    interrupt(latents, tmp_path / "kept", 1)
    (path,) = (tmp_path / "kept").iterdir()
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:50], "empty": b"", "one bit": content}[damage])
    with pytest.raises(LoraeError, match=rf"^{path}: the file is damaged; delete it to restart its training$"):
        finish(latents, tmp_path / "kept")


def test_what_a_kill_left_of_a_write_goes_with_the_rest(latents, tmp_path):
    folder = tmp_path / "kept"
    interrupt(latents, folder, 1)
    (path,) = folder.iterdir()
    (folder / f".{path.name}.abc").write_bytes(b"part")
    finish(latents, folder)
    assert not list(tmp_path.iterdir())


def test_other_settings_leave_a_kept_training_alone(latents, tmp_path):
    interrupt(latents, tmp_path / "kept", 7)
    finish(latents, tmp_path / "kept", epochs=3)
    finish(latents, tmp_path / "kept", seeds=[0])
    assert finish(latents, tmp_path / "kept") == [2, 5, 1]


def test_the_precision_is_part_of_the_key():
    def words(bfloat16):
        heads = Heads(16, 2, [torch.Generator()])
        return str(Supervised(Scaling((1, 4, 4)), torch.nn.Flatten(), heads, bfloat16=bfloat16))

    assert words(True) != words(False)


def _claim(folder, answers):
    with TrainingCheckpoints(folder) as kept:
        try:
            kept.unfinished(20, lambda: "key")
        except LoraeError as error:
            answers.put(str(error))
        else:
            answers.put("free")


def claim_elsewhere(folder):
    """What another process is told that wants to train in the folder."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_claim, args=(folder, answers))
    process.start()
    answer = answers.get(timeout=60)
    process.join()
    return answer


def test_one_process_at_a_time(tmp_path):
    folder = tmp_path / "kept"
    with TrainingCheckpoints(folder) as kept:
        assert not list(tmp_path.iterdir())  # a measure that trains nothing takes no lock
        kept.unfinished(20, lambda: "key")
        expected = f"{folder}: locked by another process; wait until it ends, or stop it"
        assert claim_elsewhere(folder) == expected
    assert claim_elsewhere(folder) == "free"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def run(small, tmp_path):
    (train, labels), (tests, test_labels) = bars(300, 0), bars(100, 1)
    splits = {"train": train, "test": tests, "train_labels": labels, "test_labels": test_labels}
    np.savez(tmp_path / "bars.npz", **splits)
    return lorae.train(tmp_path / "bars.npz", out=tmp_path / "run", **small)


ASKED = {"only": "supervised", "labels": ("20",), "seeds": 2, "max_steps": 40, "quiet": True}


def test_an_interrupted_evaluation_goes_on_and_leaves_nothing(run, monkeypatch):
    before, steps, take_step = set(run.path.iterdir()), [], Training.take_step

    def take_or_die(training):
        steps.append(training.step)
        if len(steps) == 55:
            raise KeyboardInterrupt
        take_step(training)

    monkeypatch.setattr(Training, "take_step", take_or_die)
    with pytest.raises(KeyboardInterrupt):
        lorae.evaluate(run, **ASKED)
    assert list((run.path / "unfinished-supervised").iterdir())
    lorae.evaluate(run, **ASKED)
    assert steps[55:] == list(range(14, 40))
    assert set(run.path.iterdir()) == before


def test_a_result_that_could_not_be_written_is_not_trained_again(run, monkeypatch):
    steps, take_step = [], Training.take_step
    monkeypatch.setattr(Training, "take_step", lambda training: steps.append(1) or take_step(training))

    def full(*_):
        raise LoraeError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "add_to_evaluation", full)
        with pytest.raises(LoraeError, match="no space left"):
            lorae.evaluate(run, **ASKED)
    assert len(steps) == 80
    lorae.evaluate(run, **ASKED)
    assert len(steps) == 80
