import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

import lorae
from lorae import api, paper
from lorae.methods import METHODS
from lorae.paper import measurements, presets
from lorae.paper.cells import BusyError, Store
from lorae.paper.claims import CLAIMS
from lorae.paper.models import model_key, trained
from lorae.paper.plan import by_seed, distinct, fill, measurement, planned
from lorae.paper.presets import PRESETS, PROTOCOLS, Scale
from lorae.paper.published import tables
from lorae.paper.studies import protocol_words, studies
from tests.paper.tiny import SMOKE, reproduce

# The plan


def test_the_studies_are_those_of_the_command():
    assert [*studies(), "all", "dimension"] == list(paper.STUDIES)
    assert set(paper.PRESETS) == set(PRESETS)
    assert set(paper.PROTOCOLS) == set(PROTOCOLS)


def test_tables_share_their_models():
    models = {}
    for name in ("table3", "table4", "table6", "table7", "figure2"):
        for entry in planned(tables()[name], SMOKE):
            models.setdefault(model_key(entry.cell.configuration["model"]), set()).add((name, entry.row))
    lorae_in = next(found for found in models.values() if ("table3", "LoRAE") in found)
    assert {"table3", "table4", "table6", "table7", "figure2"} == {name for name, _ in lorae_in}
    assert ("table7", "1e-3") in lorae_in


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_study_has_a_plan_in_every_preset_and_protocol(preset, protocol):
    scale = Scale(preset, protocol, 2, "f0")
    for study in studies().values():
        cells = study.cells(scale)
        assert cells
        for cell in cells:
            assert json.loads(json.dumps(cell.configuration)) == cell.configuration


def test_seeds_presets_protocols_and_faces_are_other_cells():
    system = tables()["table3"].rows[3]
    keys = {
        measurement(scale, data, system, "fid", seed).key
        for scale, data, seed in (
            (SMOKE, "mnist", 0),
            (SMOKE, "mnist", 1),
            (Scale("quick", "paper", 1), "mnist", 0),
            (Scale("paper", "paper", 1), "mnist", 0),
            (Scale("paper", "authors_code", 1), "mnist", 0),
            (Scale("quick", "paper", 1, "f0"), "celeba", 0),
            (Scale("quick", "paper", 1, "f1"), "celeba", 0),
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


def test_every_number_of_labels_is_a_cell_where_the_preset_has_it():
    """A cell that trains for hours would be lost for hours when it is stopped."""
    counts = {}
    for preset in PRESETS:
        found = [entry.cell for entry in planned(tables()["table6"], Scale(preset, "paper", 1)) if entry.row == "AE"]
        labels = [cell.configuration["measure"]["labels"] for cell in found]
        assert all(len(numbers) == 1 for numbers in labels)
        assert len({cell.key for cell in found}) == len({cell.name for cell in found}) == len(labels)
        counts[preset] = [number for (number,) in labels]
    assert counts == {
        "smoke": ["10", "100"],
        "quick": ["10", "100", "1000", "10000", "all"],
        "paper": ["10", "100", "1000", "10000", "all"],
    }
    words = " ".join(protocol_words(Scale("quick", "paper", 1), tables()["table6"]))
    assert words.count("labels 10, 100, 1000, 10000, all") == 2  # of latents, and of the supervised encoder


def test_the_authors_way_of_measuring_takes_the_same_models_and_the_papers_numbers():
    scale = Scale("quick", "paper", 2)
    ours, theirs = tables()["table6"], tables()["table6-authors"]
    cells = [{entry.cell.key: entry for entry in planned(table, scale)} for table in (ours, theirs)]
    assert not cells[0].keys() & cells[1].keys()
    models = [{model_key(entry.cell.configuration["model"]) for entry in found.values()} for found in cells]
    assert models[1] < models[0]
    for entry in cells[1].values():
        assert entry.cell.configuration["measure"]["protocol"] == "authors_code"
        assert entry.cell.name.endswith(f"labels {entry.column}, protocol authors_code")
        row = entry.row, entry.column
        assert theirs.published["mnist"].get(row) == ours.published["mnist"].get(row)
    words = " ".join(protocol_words(scale, theirs))
    assert words.count("labels 10, 100, 1000; seeds") == words.count("protocol authors_code; max steps") == 2
    # Under the protocol that follows the authors' code in everything, the two tables are one.
    code = Scale("quick", "authors_code", 1)
    keys = [{entry.cell.key for entry in planned(table, code)} for table in (theirs, ours)]
    assert keys[0] < keys[1]


def test_the_papers_preset_has_the_papers_settings():
    system = tables()["table3"].rows[3]
    scale = Scale("paper", "paper", 3, "f0")
    for data, epochs, weight in (("mnist", 50, 1e-3), ("celeba", 100, 1e-5)):
        settings = scale.model(data, system, None, 0)["settings"]
        assert (settings["epochs"], settings["latent_dim"], settings["penalties"]) == (epochs, 128, {"nuclear": weight})
        assert scale.measure(data, "lorae", "fid")["n"] == {"mnist": 10_000, "celeba": 20_000}[data]
    theirs = Scale("paper", "authors_code", 3).model("mnist", system, None, 0)["settings"]
    assert (theirs["lr"], theirs["batch_size"], theirs["latent_dim"]) == (1e-4, 100, 256)


def test_rivals_keep_the_latent_of_their_own_papers():
    for name in ("WAE", "RAE", "AE, 16 wide"):
        system = next(row for table in tables().values() for row in table.rows if row.name == name)
        for protocol in PROTOCOLS:
            assert Scale("paper", protocol, 1).model("mnist", system, None, 0)["settings"]["latent_dim"] == 16


def test_seeds_come_one_after_another():
    cells = distinct(cell for study in studies().values() for cell in study.cells(Scale("quick", "paper", 3)))
    ordered = by_seed(cells)
    seeds = [cell.configuration.get("model", {}).get("settings", cell.configuration).get("seed", 0) for cell in ordered]
    assert seeds == sorted(seeds)
    assert {cell.key for cell in ordered} == {cell.key for cell in cells}


def test_values_are_read_from_their_records_in_the_papers_unit():
    scale = Scale("quick", "paper", 2)
    table = tables()["table6"]
    records = {}
    for entry in planned(table, scale):
        accuracy = 0.5 + 0.1 * entry.seed
        result = {
            "measure": entry.cell.configuration["measure"]["name"],
            "10": {"mean": accuracy, "values": [0.1, 0.3]},
        }
        records[entry.cell.key] = {"result": result}
    (filled,) = fill(table, scale, records)
    assert filled.value("LoRAE", "10").ours == pytest.approx((50.0, 60.0))
    assert filled.value("LoRAE", "10").published == 46.6
    # A measure that trains its own models brings the values of its own seeds, once.
    assert filled.value("Supervised", "10").ours == pytest.approx((10.0, 30.0))
    assert filled.value("LoRAE", "100").ours == ()


# Measurements


@pytest.mark.parametrize("measure", list(measurements.MEASUREMENTS))
def test_every_measurement_gives_plain_values_with_its_name(measure, tiny, tmp_path):
    system = tables()["table3"].rows[3]
    cell = measurement(SMOKE, "mnist", system, measure, 0)
    result = paper.measure(cell.configuration, tmp_path, None)
    assert result["measure"] == measure
    assert json.loads(json.dumps(result)) == result
    assert result["training"]["epochs"] == 1
    for place in result.get("pictures", {}).values():
        assert (tmp_path / place).read_bytes().startswith(b"\x89PNG")


def test_a_model_is_trained_once_and_a_second_measurement_takes_it(tiny, tmp_path, monkeypatch):
    system = tables()["table3"].rows[0]
    paper.measure(measurement(SMOKE, "mnist", system, "rank", 0).configuration, tmp_path, None)

    def refuse(*arguments, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(api, "train", refuse)
    assert paper.measure(measurement(SMOKE, "mnist", system, "fid", 0).configuration, tmp_path, None)["gaussian"]
    with pytest.raises(AssertionError, match="trained again"):
        paper.measure(measurement(SMOKE, "mnist", system, "fid", 1).configuration, tmp_path, None)


def test_an_interrupted_model_goes_on_instead_of_beginning_anew(tiny, tmp_path, monkeypatch):
    model = SMOKE.model("mnist", tables()["table3"].rows[0], None, 0)
    path = tmp_path / "models" / model_key(model)
    lorae.runs.Run.create(path, api.plan("mnist", out=path, **model["settings"]))
    created = (path / "config.json").stat().st_mtime_ns
    with trained(model, tmp_path, None) as run:
        assert run.finished
    assert (path / "config.json").stat().st_mtime_ns == created


def test_a_model_that_another_process_has_is_busy(tiny, tmp_path):
    model = SMOKE.model("mnist", tables()["table3"].rows[0], None, 0)
    (tmp_path / "models").mkdir()
    with FileLock(tmp_path / "models" / f"{model_key(model)}.lock"):
        script = (
            "from pathlib import Path\n"
            "from lorae.paper.models import trained\n"
            "from lorae.paper.cells import BusyError\n"
            f"model = {model!r}\n"
            "try:\n"
            f"    with trained(model, Path({str(tmp_path)!r}), None): pass\n"
            "except BusyError: print('busy')\n"
        )
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "busy"
    assert issubclass(BusyError, Exception)


# The command


def test_a_table_is_reproduced_resumed_and_drawn_from_its_records(tiny, tmp_path, capsys, monkeypatch):
    words = ("table7", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    code, printed, errors = reproduce(capsys, *words, "--json")
    assert (code, errors) == (0, "")
    result = json.loads(printed)
    text = Path(result["pages"]["table7"]["markdown"]).read_text()
    assert "| 1e-3 | 18 |" in text
    assert "same order?" in text
    assert {claim["study"] for claim in result["claims"]} == {"table7"}
    assert Path(result["pages"]["table7"]["html"]).read_text().startswith("<!DOCTYPE html>")
    assert result["cells"] == 5 * 3

    def refuse(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr(paper, "measure", refuse)
    code, printed, _ = reproduce(capsys, *words)
    assert code == 0
    assert re.search(r"table7: The rank falls .*\n  (holds|does not hold): ", printed)

    # A checkout holds the records and the pictures, and draws the same page.
    checkout = tmp_path / "checkout"
    shutil.copytree(tmp_path / "pictures", checkout / "pictures")
    (checkout / "records.jsonl").write_bytes(Path(result["records"]).read_bytes())
    code, *_ = reproduce(capsys, "table7", "--preset", "smoke", "--draw-only", "--out", checkout)
    assert code == 0
    assert (checkout / "table7.md").read_text() == text


def test_records_of_other_studies_stay_in_the_folder(tiny, tmp_path, capsys):
    words = ("--preset", "smoke", "--out", tmp_path, "--workers", 1)
    reproduce(capsys, "theorem1", *words)
    first = Store(tmp_path).records()
    reproduce(capsys, "table2", *words)
    both = {record["key"] for record in Store(tmp_path).records()}
    assert {record["key"] for record in first} < both
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "records.jsonl").write_bytes((tmp_path / "records.jsonl").read_bytes())
    checkout = ("table1", "--preset", "smoke", "--out", tmp_path / "checkout", "--workers", 1)
    code, _, errors = reproduce(capsys, *checkout)
    assert code == 2
    assert "belongs to the records" in errors
    (tmp_path / "pictures").rename(tmp_path / "checkout" / "pictures")
    assert reproduce(capsys, *checkout)[0] == 0
    assert {record["key"] for record in Store(tmp_path / "checkout").records()} == both


def test_a_study_without_a_record_gets_no_page_beside_those_that_have(tiny, tmp_path, capsys):
    words = ("--preset", "smoke", "--out", tmp_path)
    reproduce(capsys, "theorem1", *words, "--workers", 1)
    code, printed, _ = reproduce(capsys, "all", *words, "--draw-only", "--json")
    assert code == 0
    assert list(json.loads(printed)["pages"]) == ["theorem1"]
    assert {claim["study"] for claim in json.loads(printed)["claims"]} == {"theorem1"}
    assert not (tmp_path / "table3.md").exists()


@pytest.mark.parametrize("action", ["--status", "--draw-only", "--json"])
def test_a_file_in_place_of_the_folder_is_named(action, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, printed, errors = reproduce(capsys, "table3", "--preset", "smoke", "--out", tmp_path / "file", action)
    assert (code, printed) == (2, "")
    assert errors == f"lorae: out: got '{tmp_path / 'file'}', which is a file, expected a folder\n"


def test_the_status_counts_what_is_done_running_and_left(tiny, tmp_path, capsys):
    reproduce(capsys, "theorem1", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    status = ("--preset", "smoke", "--out", tmp_path, "--status", "--json")
    done = json.loads(reproduce(capsys, "theorem1", *status)[1])
    assert (done["left"], done["running"], done["seconds_to_go"]) == (0, [], 0.0)
    cells = studies()["table7"].cells(SMOKE)
    lock = Store(tmp_path).folder / "cells" / f"{cells[0].key}.lock"
    script = f"import time, filelock\nwith filelock.FileLock({str(lock)!r}): print(1, flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline()
        found = json.loads(reproduce(capsys, "table7", *status)[1])
        assert (found["done"], found["left"], found["running"]) == (0, len(cells), [cells[0].name])
        printed = reproduce(capsys, "table7", *status[:-1])[1]
        assert "unknown before the first cell" in printed
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table9"], "study: got 'table9', expected one of table1"),
        (["table5"], "study: table5 is of CelebA alone; pass --data-root FOLDER"),
        (["table3", "--protocol", "mine"], "protocol: got 'mine', expected one of paper, authors_code"),
        (["table3", "--data-root", "nowhere"], "data_root: found no celeba in nowhere"),
        (["table3", "--draw-only", "--out", "nowhere"], "out: 'nowhere' holds no records.jsonl"),
    ],
)
def test_bad_input_is_one_line_and_makes_nothing(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, errors = reproduce(capsys, *words)
    assert (code, printed, len(errors.splitlines())) == (2, "", 1)
    assert message in errors
    assert not list(tmp_path.iterdir())


def test_fewer_seeds_take_no_record_away(tiny, tmp_path, capsys):
    words = ("theorem1", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    reproduce(capsys, *words, "--seeds", 2)
    before = Store(tmp_path).records()
    shutil.rmtree(tmp_path / "cells")
    reproduce(capsys, *words)
    assert {record["key"] for record in Store(tmp_path).records()} == {record["key"] for record in before}


def test_pages_are_not_drawn_from_records_of_something_else(tiny, tmp_path, capsys):
    """Drawing with another preset once emptied every page of a finished study."""
    reproduce(capsys, "theorem1", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    text = (tmp_path / "theorem1.md").read_text()
    for words, named in (
        (("table7", "--preset", "quick"), "none of table7 in preset quick, protocol paper"),
        (("table3", "--preset", "smoke"), "none of table3 in preset smoke"),
        (("dimension",), "none of known dimensions"),
    ):
        code, printed, errors = reproduce(capsys, *words, "--out", tmp_path, "--draw-only")
        assert (code, printed, len(errors.splitlines())) == (2, "", 1)
        assert named in errors
    assert sorted(path.name for path in tmp_path.glob("*.md")) == ["theorem1.md"]
    assert (tmp_path / "theorem1.md").read_text() == text


@pytest.mark.parametrize("line", ["[]", "3", '{"name": "x"}'])
def test_lines_that_are_no_records_are_named(line, tiny, tmp_path, capsys):
    (tmp_path / "records.jsonl").write_text(line + "\n")
    for words in (("table3",), ("dimension",)):
        for action in ("--draw-only", "--status"):
            code, _, errors = reproduce(capsys, *words, "--preset", "smoke", "--out", tmp_path, action)
            assert (code, len(errors.splitlines())) == (2, 1)
            assert "records.jsonl: line 1 is no record of a cell" in errors


def test_finished_cells_are_drawn_after_a_kill(tiny, tmp_path, capsys):
    reproduce(capsys, "theorem1", "--preset", "smoke", "--out", tmp_path, "--workers", 1)
    text = (tmp_path / "theorem1.md").read_text()
    (tmp_path / "records.jsonl").unlink()
    assert reproduce(capsys, "theorem1", "--preset", "smoke", "--out", tmp_path, "--draw-only")[0] == 0
    assert (tmp_path / "theorem1.md").read_text() == text


def test_the_known_dimensions_have_a_status_too(tmp_path, capsys):
    found = json.loads(reproduce(capsys, "dimension", "--preset", "smoke", "--out", tmp_path, "--status", "--json")[1])
    assert (found["done"], found["running"]) == (0, [])
    assert found["left"] > 0


def test_the_protocol_names_the_whole_command_and_every_measure():
    words = protocol_words(Scale("quick", "authors_code", 5, "f0"), tables()["table3"])
    assert "--preset quick --seeds 5 --protocol authors_code --data-root FOLDER" in words[0]
    measures = [line for line in protocol_words(SMOKE, tables()["table6"]) if line.startswith("Measured")]
    assert any("of Supervised: `supervised`" in line for line in measures)
    assert "Not measured: celeba" in protocol_words(SMOKE, tables()["table3"])[-1]


def test_the_authors_code_changes_only_what_it_has():
    scale = Scale("paper", "authors_code", 1, "f0")
    rows = {row.name: row for table in tables().values() for row in table.rows}
    settings = {name: scale.model("celeba", row, None, 0)["settings"] for name, row in rows.items() if not row.data}
    assert settings["GAN"]["lr"] == 2e-4
    assert "batch_size" not in settings["WAE"]
    assert settings["WAE"]["latent_dim"] == settings["RAE"]["latent_dim"] == 64
    assert settings["VAE"]["penalty_warmup"] == 0.0
    assert settings["LoRAE"]["matrix_init"] == "default"
    assert scale.measure("celeba", "lorae", "pictures")["fit_on"] == "test"


def test_a_scale_is_hashable_and_fixed():
    assert hash(SMOKE) == hash(dataclasses.replace(SMOKE))
    assert presets.SHAPES["mnist"] == (1, 32, 32)


@pytest.mark.slow
def test_a_killed_smoke_run_goes_on_and_ends_within_its_time(tmp_path):
    words = [sys.executable, "-m", "lorae", "reproduce", "table3", "--preset", "smoke", "--out", str(tmp_path / "out")]
    started = time.monotonic()
    process = subprocess.Popen(words)
    while not list(tmp_path.glob("out/models/*/stats.jsonl")):
        time.sleep(0.2)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True)
    assert len(json.loads(found.stdout)["claims"]) == len(CLAIMS["table3"])
    assert time.monotonic() - started < 300
