import dataclasses
import json
import re
from typing import Any

import pytest

from lorae.config.methods import METHODS
from lorae.reproduction import run as paper
from lorae.reproduction.studies import studies
from lorae.reproduction.tables import presets
from lorae.reproduction.tables.measurements import model_key
from lorae.reproduction.tables.plan import by_seed, distinct, fill, measurement, planned
from lorae.reproduction.tables.presets import PRESETS, PROTOCOLS, StudyConfig
from lorae.reproduction.tables.protocol import describe_protocol
from lorae.reproduction.tables.published import tables
from tests.reproduction.tiny import SMOKE


def test_the_studies_are_those_of_the_command():
    assert list(studies()) == [name for name in paper.STUDIES if name != "all"]
    assert set(paper.PRESETS) == set(PRESETS)
    assert set(paper.PROTOCOLS) == set(PROTOCOLS)


def test_tables_share_their_models():
    models: dict[Any, Any] = {}
    for name in ("table3", "table4", "table6", "table7", "figure2"):
        for entry in planned(tables()[name], SMOKE):
            models.setdefault(model_key(entry.job.configuration["model"]), set()).add((name, entry.row))
    lorae_in = next(found for found in models.values() if ("table3", "LoRAE") in found)
    assert {"table3", "table4", "table6", "table7", "figure2"} == {name for name, _ in lorae_in}
    assert ("table7", "1e-3") in lorae_in


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_study_has_a_plan_in_every_preset_and_protocol(preset, protocol):
    config = StudyConfig(preset, protocol, 2, "f0")
    for study in studies().values():
        jobs = study.jobs(config)
        assert jobs
        for job in jobs:
            assert json.loads(json.dumps(job.configuration)) == job.configuration


def test_seeds_presets_protocols_and_faces_are_other_jobs():
    system = tables()["table3"].rows[3]
    keys = {
        measurement(config, data, system, "fid", seed).key
        for config, data, seed in (
            (SMOKE, "mnist", 0),
            (SMOKE, "mnist", 1),
            (StudyConfig("quick", "paper", 1), "mnist", 0),
            (StudyConfig("paper", "paper", 1), "mnist", 0),
            (StudyConfig("paper", "authors_code", 1), "mnist", 0),
            (StudyConfig("quick", "paper", 1, "f0"), "celeba", 0),
            (StudyConfig("quick", "paper", 1, "f1"), "celeba", 0),
        )
    }
    assert len(keys) == 7


def test_a_new_revision_of_a_method_is_other_models_of_it_alone(monkeypatch):
    rows = {row.name: row for row in tables()["table3"].rows}

    def keys():
        return {name: measurement(SMOKE, "mnist", rows[name], "fid", 0).key for name in ("AE", "LoRAE")}

    before = keys()
    monkeypatch.setitem(METHODS, "lorae", dataclasses.replace(METHODS["lorae"], revision=7))
    after = keys()
    assert after["AE"] == before["AE"]
    assert after["LoRAE"] != before["LoRAE"]


def test_every_number_of_labels_is_a_job_where_the_preset_has_it():
    """A job that trains for hours would be lost for hours when it is stopped."""
    counts = {}
    for preset in PRESETS:
        found = [
            entry.job for entry in planned(tables()["table6"], StudyConfig(preset, "paper", 1)) if entry.row == "AE"
        ]
        labels = [job.configuration["measure"]["labels"] for job in found]
        assert all(len(numbers) == 1 for numbers in labels)
        assert len({job.key for job in found}) == len({job.name for job in found}) == len(labels)
        counts[preset] = [number for (number,) in labels]
    assert counts == {
        "smoke": ["10", "100"],
        "quick": ["10", "100", "1000", "10000", "all"],
        "paper": ["10", "100", "1000", "10000", "all"],
    }
    words = " ".join(describe_protocol(StudyConfig("quick", "paper", 1), tables()["table6"]))
    assert words.count("labels 10, 100, 1000, 10000, all") == 2  # of latents, and of the supervised encoder


def test_the_authors_way_of_measuring_takes_the_same_models_and_the_papers_numbers():
    config = StudyConfig("quick", "paper", 2)
    ours, theirs = tables()["table6"], tables()["table6-authors"]
    jobs = [{entry.job.key: entry for entry in planned(table, config)} for table in (ours, theirs)]
    assert not jobs[0].keys() & jobs[1].keys()
    models = [{model_key(entry.job.configuration["model"]) for entry in found.values()} for found in jobs]
    assert models[1] < models[0]
    for entry in jobs[1].values():
        assert entry.job.configuration["measure"]["protocol"] == "authors_code"
        assert entry.job.name.endswith(f"labels {entry.column}, protocol authors_code")
        row = entry.row, entry.column
        assert theirs.published["mnist"].get(row) == ours.published["mnist"].get(row)
    words = " ".join(describe_protocol(config, theirs))
    assert words.count("labels 10, 100, 1000; seeds") == words.count("protocol authors_code; max steps") == 2
    # Under the protocol that follows the authors' code in everything, the two tables are one.
    code = StudyConfig("quick", "authors_code", 1)
    keys = [{entry.job.key for entry in planned(table, code)} for table in (theirs, ours)]
    assert keys[0] < keys[1]


def test_the_papers_preset_has_the_papers_settings():
    system = tables()["table3"].rows[3]
    config = StudyConfig("paper", "paper", 3, "f0")
    for data, epochs, weight in (("mnist", 50, 1e-3), ("celeba", 100, 1e-5)):
        settings = config.model(data, system, None, 0)["settings"]
        assert (settings["epochs"], settings["latent_dim"], settings["penalties"]) == (epochs, 128, {"nuclear": weight})
        assert config.measure(data, "lorae", "fid")["n"] == {"mnist": 10_000, "celeba": 20_000}[data]
    theirs = StudyConfig("paper", "authors_code", 3).model("mnist", system, None, 0)["settings"]
    assert (theirs["lr"], theirs["batch_size"], theirs["latent_dim"]) == (1e-4, 100, 256)


def test_rivals_keep_the_latent_of_their_own_papers():
    for name in ("WAE", "RAE", "AE, 16 wide"):
        system = next(row for table in tables().values() for row in table.rows if row.name == name)
        for protocol in PROTOCOLS:
            assert StudyConfig("paper", protocol, 1).model("mnist", system, None, 0)["settings"]["latent_dim"] == 16


def test_seeds_come_one_after_another():
    jobs = distinct(job for study in studies().values() for job in study.jobs(StudyConfig("quick", "paper", 3)))
    ordered = by_seed(jobs)
    seeds = [int(re.search(r"seed (\d+)", job.name).group(1)) for job in ordered]
    assert seeds == sorted(seeds)
    assert {job.key for job in ordered} == {job.key for job in jobs}


def test_values_are_read_from_their_records_in_the_papers_unit():
    config = StudyConfig("quick", "paper", 2)
    table = tables()["table6"]
    records = {}
    for entry in planned(table, config):
        accuracy = 0.5 + 0.1 * entry.seed
        result = {
            "measure": entry.job.configuration["measure"]["name"],
            "10": {"mean": accuracy, "values": [0.1, 0.3]},
        }
        records[entry.job.key] = {"result": result}
    (filled,) = fill(table, config, records)
    assert filled.value("LoRAE", "10").ours == pytest.approx((50.0, 60.0))
    assert filled.value("LoRAE", "10").published == 46.6
    # A measure that trains its own models brings the values of its own seeds, once.
    assert filled.value("Supervised", "10").ours == pytest.approx((10.0, 30.0))
    assert filled.value("LoRAE", "100").ours == ()


# What is said of it


def test_the_protocol_names_the_whole_command_and_every_measure():
    words = describe_protocol(StudyConfig("quick", "authors_code", 5, "f0"), tables()["table3"])
    assert "--preset quick --seeds 5 --protocol authors_code --data-root FOLDER" in words[0]
    measures = [line for line in describe_protocol(SMOKE, tables()["table6"]) if line.startswith("Measured")]
    assert any("of Supervised: `supervised`" in line for line in measures)
    assert "Not measured: celeba" in describe_protocol(SMOKE, tables()["table3"])[-1]


def test_the_authors_code_changes_only_what_it_has():
    config = StudyConfig("paper", "authors_code", 1, "f0")
    rows = {row.name: row for table in tables().values() for row in table.rows}
    settings = {name: config.model("celeba", row, None, 0)["settings"] for name, row in rows.items() if not row.data}
    assert settings["GAN"]["lr"] == 2e-4
    assert "batch_size" not in settings["WAE"]
    assert settings["WAE"]["latent_dim"] == settings["RAE"]["latent_dim"] == 64
    assert settings["VAE"]["penalty_warmup"] == 0.0
    assert settings["LoRAE"]["matrix_init"] == "default"
    assert config.measure("celeba", "lorae", "pictures")["fit_on"] == "test"


def test_a_configuration_is_hashable_and_fixed():
    assert hash(SMOKE) == hash(dataclasses.replace(SMOKE))
    assert presets.SHAPES["mnist"] == (1, 32, 32)
