"""Records: what is written has a schema, earlier ones are migrated, later ones refused."""

import json

import pytest
import torch

import lorae
from lorae.errors import LoraeError
from lorae.runs import Run
from lorae.runs.schema import SCHEMA, read_record, rename_weights, upgrade
from tests.edited_records import read_edited

SEARCH = {"phase": "search", "good": 6, "bad": 0, "trial": 3, "curve": [[6, 0.5]]}


def test_every_record_of_a_run_has_the_schema(trained):
    for name in ("config.json", "evaluation.json", "model.json"):
        assert json.loads((trained.path / name).read_text())["schema"] == SCHEMA
    assert torch.load(trained.checkpoint_path, weights_only=True)["schema"] == SCHEMA
    assert trained.config["schema"] == SCHEMA
    assert "schema" not in trained.evaluation()  # measures only


def test_an_evaluation_without_a_schema_has_its_entries_renamed():
    old = {"rank": {"rank": 3}, "course": {"rank": 3}}
    assert upgrade("evaluation", old, "there") == {"schema": SCHEMA, "rank": {"rank": 3}, "schedule": {"rank": 3}}
    assert "course" in old


def test_a_checkpoint_without_a_schema_has_its_parts_renamed():
    weights = {"bottleneck.normaliser.mean": 1, "encoder.output.bias": 2}
    schedule = {"waits": False, "search": SEARCH, "turn": {"start": 92, "length": 20}, "snapshot": None}
    old = {"model": weights, "course": schedule, "step": 100, "settings": {"normalise": "scale"}}
    new = upgrade("checkpoint", old, "there")
    assert new["schedule"] == {
        "waits": False,
        "search": {"stage": "search", "feasible": 6, "infeasible": 0, "trial": 3, "curve": [[6, 0.5]]},
        "phase": {"start": 92, "length": 20},
        "snapshot": None,
    }
    assert new["model"] == {"bottleneck.normalizer.mean": 1, "encoder.output.bias": 2}
    assert new["settings"] == {"normalize": "scale"}
    assert (new["step"], "course" in new) == (100, False)


def test_config_and_model_without_a_schema_have_their_settings_renamed():
    assert upgrade("config", {"settings": {"normalise": "scale", "seed": 0}}, "there")["settings"] == {
        "normalize": "scale",
        "seed": 0,
    }
    spec = {"latent_dim": 4, "bottleneck_options": {"layers": 1, "normalise": "scale"}}
    assert upgrade("model", spec, "there")["bottleneck_options"] == {"layers": 1, "normalize": "scale"}
    assert rename_weights({"bottleneck.normaliser.steps": 1}) == {"bottleneck.normalizer.steps": 1}


@pytest.mark.parametrize("kind", ["config", "evaluation", "model", "checkpoint"])
def test_a_current_record_stays_as_it_is(kind):
    record = {"schema": SCHEMA, "course": 1, "settings": {"normalise": "scale"}}
    assert upgrade(kind, record, "there") == record


@pytest.mark.parametrize("found", [SCHEMA + 1, 99, -1, "1.0", None])
def test_a_record_of_a_later_version_is_refused(found):
    with pytest.raises(LoraeError, match=r"^there: got schema .*, expected at most 1.*upgrade lorae$"):
        upgrade("config", {"schema": found}, "there")


@pytest.mark.parametrize("name", ["config.json", "evaluation.json", "model.json"])
def test_commands_refuse_a_run_of_a_later_version_in_one_line(name, trained, run_cli, tmp_path):
    run = tmp_path / "later"
    run.mkdir()
    for path in trained.path.glob("*.*"):
        (run / path.name).write_bytes(path.read_bytes())
    record = read_edited(run / name)
    (run / name).write_text(json.dumps(record | {"schema": SCHEMA + 1}))
    code, _, errors = run_cli("evaluate", run, "--only", "rank")
    assert code == 2
    assert errors.count("\n") == 1
    assert f"{run / name}: got schema 2, expected at most 1" in errors


def test_resume_refuses_a_checkpoint_of_a_later_version(image_file, small, train_until, tmp_path):
    train_until(8, str(image_file), out=tmp_path / "run", checkpoint_every=4, **small)
    path = Run(tmp_path / "run").checkpoint_path
    torch.save(torch.load(path, weights_only=True) | {"schema": SCHEMA + 1}, path)
    with pytest.raises(LoraeError, match=r"last\.pt: got schema 2, expected at most 1"):
        lorae.resume(tmp_path / "run", quiet=True)


@pytest.mark.parametrize(
    ("content", "reason"), [("{", "not readable as JSON"), ("[1]", r"the content is \[1\], expected an object")]
)
def test_damaged_json_is_one_line(content, reason, tmp_path):
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(LoraeError, match=reason) as caught:
        read_record("evaluation", tmp_path / "evaluation.json")
    assert "\n" not in str(caught.value)
