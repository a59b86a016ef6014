"""What a study does where something fails: training that diverges, weights that are missing, files that were moved."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import lorae
from lorae import api, features
from lorae.errors import DivergedError, LoraeError
from lorae.reproduction.jobs.store import ResultStore
from lorae.reproduction.tables.measurements import model_key, trained
from lorae.reproduction.tables.plan import fill, planned
from lorae.reproduction.tables.presets import PRESETS
from lorae.reproduction.tables.published import tables
from tests.reproduction.tiny import SMOKE, TINY, reproduce

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_a_training_that_diverges_is_a_result_and_left_out_of_the_page(tiny, tmp_path, capsys, monkeypatch):
    train = api.train

    trainings = []

    def diverge(data, **settings):
        trainings.append(settings.get("method"))
        if settings.get("method") == "ae":
            raise DivergedError("loss: not finite at step 3 (epoch 1): loss nan; try --lr below 0.001 in a new run")
        return train(data, **settings)

    monkeypatch.setattr(api, "train", diverge)
    code, printed, _ = reproduce(capsys, "table2", "--preset", "smoke", "--out", tmp_path, "--workers", 1, "--json")
    assert code == 0
    (record,) = (record for record in ResultStore(tmp_path).records() if "mnist AE " in record["name"])
    assert record["result"] == {
        "measure": "pictures",
        "diverged": "loss: not finite at step 3 (epoch 1): loss nan",
    }
    assert trainings.count("ae") == 1
    with pytest.raises(DivergedError), trained(record["configuration"]["model"], tmp_path, None):
        pass
    assert trainings.count("ae") == 1  # it would diverge again
    text = Path(json.loads(printed)["pages"]["table2"]["markdown"]).read_text()
    assert "Left out, as training diverged: mnist AE seed 0: pictures." in text
    assert "VAE" in text


SLOW = [pytest.param(study, marks=pytest.mark.slow) for study in ("table2", "table7", "figure2", "figure3")]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("study", ["table3", "table6", *SLOW])
def test_a_model_that_collapses_is_a_result_and_the_others_are_measured(
    study, precision, tiny, tmp_path, capsys, monkeypatch
):
    """A collapsed encoder maps all items to one latent: no density, midpoint or probe can be taken of it."""
    settings = {"mnist": dict(TINY.training["mnist"]) | {"precision": precision}}
    monkeypatch.setitem(PRESETS, "smoke", dataclasses.replace(TINY, training=settings))
    train = api.train

    def collapse(data, **settings):
        run = train(data, **settings)
        if settings.get("method") == "vae":
            model = run.load_model()
            output: Any = model.encoder.output
            torch.nn.init.zeros_(output.weight)
            run.save_model(model)
        return run

    monkeypatch.setattr(api, "train", collapse)
    code, printed, errors = reproduce(capsys, study, "--preset", "smoke", "--out", tmp_path, "--workers", 1, "--json")
    assert code == 0, errors
    text = Path(json.loads(printed)["pages"][study]["markdown"]).read_text()
    collapsed = [record for record in ResultStore(tmp_path).records() if "collapsed" in record["result"]]
    assert {record["configuration"]["model"]["settings"]["method"] for record in collapsed} <= {"vae"}
    if study in ("table2", "table3"):
        assert collapsed
        assert "latents: all are the same" in collapsed[0]["result"]["collapsed"]
        assert "Left out, as training collapsed: mnist VAE seed 0" in text
    if study == "table3":
        assert "| VAE | 21.01 | collapsed | 18.86 | collapsed |" in text


def test_values_of_what_diverged_are_missing_and_the_others_stay():
    table = tables()["table7"]
    plan = [entry for entry in planned(table, SMOKE) if entry.column is not None]
    broken = {"result": {"measure": "rank", "diverged": "loss: not finite"}}
    records = {entry.job.key: broken for entry in plan if entry.row == "1e-1"}
    (filled,) = fill(table, SMOKE, records)
    assert filled.value("1e-1", "rank").ours == ()


def test_a_model_of_files_that_were_moved_goes_on_from_where_they_are_now(tiny, tmp_path):
    model = SMOKE.model("mnist", tables()["table3"].rows[0], None, 0) | {"faces": "0f"}
    path = tmp_path / "models" / model_key(model)
    config = api.plan("mnist", out=path, **model["settings"])
    config["settings"]["data_root"] = "/gone"
    config["command"] += " --data-root /gone"
    lorae.runs.run.Run.create(path, config)
    with trained(model, tmp_path, "/here") as run:
        assert run.settings.data_root == "/here"
        assert run.config["command"].endswith("--data-root /here")
        assert run.load_checkpoint()["settings"]["data_root"] == "/here"
    with trained(model, tmp_path, "/here/again") as run:
        assert run.load_checkpoint() is not None  # the same data elsewhere: nothing to refuse


def test_weights_that_are_missing_are_missed_before_anything_is_trained(tiny, tmp_path, capsys, monkeypatch):
    measures = {"mnist": dict(TINY.measures["mnist"]) | {"fid": {"features": "inception"}}}
    monkeypatch.setitem(PRESETS, "smoke", dataclasses.replace(TINY, measures=measures))
    monkeypatch.setattr(features, "EXTRACTORS", features.EXTRACTORS | {"inception": missing_weights()})
    code, _, errors = reproduce(capsys, "table3", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    assert (code, errors) == (2, "lorae: inception: no weights here\n")
    assert not (tmp_path / "models").exists()


def test_what_is_finished_needs_no_weights(tiny, tmp_path, capsys, monkeypatch):
    words = ("figure3", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    assert reproduce(capsys, *words)[0] == 0
    monkeypatch.setattr(features, "EXTRACTORS", features.EXTRACTORS | {"digits": missing_weights()})
    assert reproduce(capsys, *words)[0] == 0
    assert reproduce(capsys, *words, "--seeds", 2)[0] == 2


def missing_weights():
    def build(_):
        raise LoraeError("inception: no weights here")

    return features.Source("the real one would download", build)
