"""Files of a run folder, of an estimator and of settings that no honest program writes."""

import io
import json
import pickle
import shutil
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import strategies as st
from safetensors.numpy import save

import lorae
from lorae.config.settings import Settings
from lorae.reproduction.jobs.store import Job, ResultStore
from lorae.runs import Run
from lorae.runs.model_files import check_archive
from lorae.system.records import sealed_record
from lorae.system.tensor_file import sealed
from tests.edited_records import read_edited
from tests.integration.attempts import attempt, refused
from tests.integration.fuzzing import (
    NUMBERS,
    SIDES,
    VALUES,
    WORDS,
    Canary,
    changed,
    counts,
    fuzz,
    json_texts,
    npy_files,
    sings,
    zip_files,
)

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


@pytest.fixture
def place(trained, tmp_path):
    """A folder with a run that has a density, and codes for it."""
    run = shutil.copytree(trained.path, tmp_path / "whole")
    lorae.sample(run, 2, out=tmp_path / "items.npy")
    np.save(tmp_path / "codes.npy", np.zeros((2, 8), np.float32))
    return tmp_path


def fresh(place):
    for name in ("run", "out"):
        shutil.rmtree(place / name, ignore_errors=True)
    shutil.copytree(place / "whole", place / "run")
    (place / "out").mkdir()


def use(number, place, image_file):
    """Use the run by one of the commands that read much of it."""
    run, out = place / "run", place / "out"
    words = [
        ["spectrum", run],
        ["encode", run, image_file, "--out", out / "codes.npy"],
        ["decode", run, place / "codes.npy", "--out", out / "items.npy"],
        ["sample", run, "-n", "3", "--out", out / "items.npy"],
        ["truncate", run, "--rank", "2", "--out", out / "cut"],
        ["export", run, "--out", out / "exported"],
        ["evaluate", run, "--only", "rank"],
        ["resume", run],
        ["compare", run, place / "whole", "--out", out / "page.html"],
        ["train", image_file, "--config", run / "config.json", "--dry-run", "--out", out / "run"],
    ]
    attempt(*words[number])


uses = st.integers(0, 9)


def records_of(run):
    """The records of a run as values, by name; the statistics are the list of their lines."""
    names = ("config.json", "evaluation.json", "model.json")
    found: dict[str, Any] = {name: read_edited(run / name) for name in names}
    lines = (run / "stats.jsonl").read_text().splitlines()
    found["stats.jsonl"] = [{k: v for k, v in json.loads(line).items() if k != "crc32"} for line in lines]
    return found


@counts
@pytest.mark.parametrize("name", ["config.json", "evaluation.json", "model.json", "stats.jsonl"])
def test_records_of_a_run(name, count, place, image_file):
    record = records_of(place / "whole")[name]
    # Lines are records of their own, one of which is changed, or all of them at once.
    texts = json_texts(record) if isinstance(record, dict) else changed(record).map(as_lines)

    def check(made):
        fresh(place)
        (place / "run" / name).write_bytes(made[1])
        use(made[0], place, image_file)

    fuzz(count, st.tuples(uses, texts), check)


def as_lines(records):
    lines = records if isinstance(records, list) else [records]
    return "".join(json.dumps(line) + "\n" for line in lines).encode(errors="surrogatepass")


@counts
def test_sealed_records_of_a_run(count, place, image_file):
    """A forger writes the right checksum too."""
    records = {name: record for name, record in records_of(place / "whole").items() if isinstance(record, dict)}

    def check(made):
        way, name, record = made
        fresh(place)
        content = sealed_record(record) if isinstance(record, dict) else record
        (place / "run" / name).write_text(json.dumps(content), errors="surrogatepass")
        use(way, place, image_file)

    one = st.sampled_from(sorted(records)).flatmap(lambda name: st.tuples(uses, st.just(name), changed(records[name])))
    fuzz(count, one, check)


# Tensors


@st.composite
def tensor_files(draw, tensors):
    """A file of safetensors whose header claims other types, shapes and places than its data have."""
    content = save(draw(st.just(tensors)), {"lorae": "{}"} if draw(st.booleans()) else None)
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    offsets = st.one_of(st.integers(-1, len(data) + 8), st.sampled_from([2**31, 2**63, 2**64, 10**30, None, "0"]))
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(set(header) - {"__metadata__"}) or ["x"]))
        entry = header.get(name)
        if not isinstance(entry, dict):
            break
        match draw(st.sampled_from(["dtype", "shape", "offsets", "value", "remove", "rename", "overlap", "metadata"])):
            case "dtype":
                entry["dtype"] = draw(st.sampled_from(["F16", "BF16", "F64", "I64", "BOOL", "F8_E4M3", "C64", "x", 1]))
            case "shape":
                entry["shape"] = draw(st.one_of(st.lists(SIDES, max_size=4), VALUES))
            case "offsets":
                entry["data_offsets"] = draw(st.one_of(st.lists(offsets, max_size=3), VALUES))
            case "value":
                header[name] = draw(VALUES)
            case "remove":
                del header[name]
            case "rename":
                header[draw(WORDS)] = header.pop(name)
            case "overlap":
                header[name + "2"] = entry
            case "metadata":
                header["__metadata__"] = draw(VALUES)
    text = json.dumps(header).encode(errors="surrogatepass")
    text += b" " * (-len(text) % 8)
    made = draw(st.sampled_from([len(text)] * 6 + [0, 2**20, 2**63])).to_bytes(8, "little") + text + data
    if draw(st.booleans()):
        try:
            return sealed(made)
        except (ValueError, TypeError, AttributeError, KeyError):  # not every header can have a checksum
            return made
    return made


FILES = ("model.safetensors", "encoder_outputs.safetensors", "reference_items.safetensors", "figure_data.safetensors")


@counts
def test_tensor_files_of_a_run(count, place, image_file):
    from safetensors.numpy import load_file

    def check(made):
        way, name, content = made
        fresh(place)
        (place / "run" / name).write_bytes(content)
        use(way, place, image_file)

    made = st.sampled_from(FILES).flatmap(
        lambda name: st.tuples(uses, st.just(name), tensor_files(load_file(place / "whole" / name)))
    )
    fuzz(count, made, check)


@counts
def test_files_of_an_estimator(count, vectors, tmp_path):
    from safetensors.numpy import load_file

    path = lorae.LoRAE(rank=2, epochs=1, random_state=0).fit(vectors).save(tmp_path / "file")
    tensors = load_file(path)

    def check(content):
        path.write_bytes(content)
        found = refused(lambda: lorae.LoRAE.load(path))
        if found is not None:
            found.transform(vectors)

    fuzz(count, tensor_files(tensors), check)


@counts
def test_densities_of_a_run(count, place, canary, image_file):
    (path,) = (place / "whole" / "samplers").glob("*.npz")
    with np.load(path) as arrays:
        whole = {f"{name}.npy": npy(arrays[name]) for name in arrays.files}
    some = st.lists(st.tuples(st.sampled_from(sorted(whole)), npy_files(canary)), min_size=1, max_size=3)

    def check(content):
        fresh(place)
        (place / "run" / "samplers" / path.name).write_bytes(content)
        attempt("sample", place / "run", "-n", "2", "--out", place / "out" / "items.npy")
        assert not sings(canary)

    fuzz(count, zip_files(some.map(lambda members: list((whole | dict(members)).items()))), check)


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


# Checkpoints, which are pickles in an archive


@st.composite
def checkpoints(draw, state, canary):
    """A file of `torch.save` with another state, with objects that are code, or with nothing but a pickle."""
    content = io.BytesIO()
    match draw(st.sampled_from(["state", "state", "code", "pickle", "archive"])):
        case "state":
            made = {name: draw(VALUES) if draw(st.integers(0, 3)) == 0 else value for name, value in state.items()}
            made["model"] = {
                name: torch.zeros(draw(st.lists(st.integers(0, 3), max_size=3)))
                if draw(st.integers(0, 9)) == 0
                else value
                for name, value in state["model"].items()
            }
            torch.save(made | ({draw(WORDS): draw(VALUES)} if draw(st.booleans()) else {}), content)
        case "code":
            torch.save(state | {draw(st.sampled_from(["step", "schedule", "x"])): Canary(canary)}, content)
        case "pickle":
            return draw(st.sampled_from([pickle.dumps(Canary(canary)), pickle.dumps({"step": 1}), b"\x80\x04."]))
        case "archive":
            with zipfile.ZipFile(content, "w") as archive:
                code = draw(
                    st.sampled_from([pickle.dumps(Canary(canary)), b"cos\nsystem\n(S'true'\ntR.", b"\x80\x02}."])
                )
                archive.writestr("archive/data.pkl", code)
                archive.writestr("archive/version", draw(st.sampled_from(["3", "x", "9" * 100])))
    return content.getvalue()


@counts
def test_checkpoints(count, image_file, small, train_until, canary, tmp_path):
    train_until(8, str(image_file), out=tmp_path / "interrupted", checkpoint_every=4, **small)
    path = tmp_path / "interrupted" / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=True)
    check_archive(path.read_bytes())

    def check(made):
        content, resumed = made
        if resumed:
            shutil.rmtree(tmp_path / "run", ignore_errors=True)
            shutil.copytree(tmp_path / "interrupted", tmp_path / "run")
            (tmp_path / "run" / "checkpoints" / "last.pt").write_bytes(content)
            attempt("resume", tmp_path / "run")
        else:
            path.write_bytes(content)
            refused(lambda: Run(tmp_path / "interrupted").load_checkpoint())
        assert not sings(canary)

    # To resume takes a second, to read a millisecond.
    rarely = st.integers(0, 9).map(lambda number: number == 9)
    fuzz(count, st.tuples(checkpoints(state, canary), rarely), check)


# Settings and records of a study


@st.composite
def settings_files(draw, canary):
    """A file of settings in YAML: of any values, with anchors, tags, keys twice, several documents."""
    names = sorted(Settings().to_json())
    entries = draw(st.dictionaries(st.one_of(st.sampled_from(names), WORDS), st.one_of(NUMBERS, VALUES), max_size=5))
    if draw(st.booleans()) and entries:
        entries["again"] = next(iter(entries.values()))  # PyYAML writes an anchor and an alias for a list or an object
    text = yaml.safe_dump(entries, allow_unicode=draw(st.booleans()), sort_keys=False)
    name = draw(st.sampled_from(names))
    lines = [
        "",
        f"{name}: &a 1\nx: *a\n",
        "<<: {epochs: 2}\n",
        f"{name}: !!python/object/apply:os.system ['touch {canary}']\n",
        f"{name}: !!binary aGVsbG8=\n",
        f"{name}: !!set {{a, b}}\n",
        f"{name}: 2001-01-01\n",
        f"{name}: 1:30\n{name}: 0o17\n",
        "--- {}\n--- {}\n",
        "? [1, 2]\n: 3\n",
        f"{name}: |\n  text\n  more\n",
        "%YAML 9.9\n---\na: 1\n",
        f"{name}: .inf\nlr: .nan\n",
        "\t\n",
    ]
    text += draw(st.sampled_from(lines))
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-16"])), errors="surrogatepass")


@counts
def test_settings_files(count, image_file, canary, tmp_path):
    def check(made):
        ending, content = made
        path = tmp_path / f"settings.{ending}"
        path.write_bytes(content)
        attempt("train", image_file, "--config", path, "--dry-run", "--out", tmp_path / "run")
        assert not sings(canary)

    fuzz(count, st.tuples(st.sampled_from(["yaml", "yaml", "json", "txt"]), settings_files(canary)), check)


@counts
def test_records_of_a_study(count, tmp_path):
    store = ResultStore(tmp_path)
    jobs = [Job(f"job {number}", {"model": {"settings": {"seed": number}}}) for number in range(3)]
    for job in jobs:
        store.write(job, {"value": [0.1, None, {"a": "b"}]}, 1.5)
    store.gather(jobs)
    shutil.rmtree(tmp_path / "jobs")
    lines = [json.loads(line) for line in store.records_path.read_text().splitlines()]
    for line in lines:
        del line["crc32"]

    def check(content):
        store.records_path.write_bytes(content)
        if refused(store.finished) is not None:
            store.state(jobs)

    fuzz(count, changed(lines).map(as_lines), check)
