"""Damaged files of every kind end in one line, or change no result; none ends in a traceback or never.

`make test` takes a few variants of each kind, the marker `faults` a thousand.
"""

import gzip
import hashlib
import io
import json
import re
import shutil
import traceback
import zipfile

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image
from safetensors.numpy import load_file, save

import lorae
from lorae.data import mnist
from lorae.data.idx_format import parse_idx
from lorae.reproduction.jobs.store import Job, ResultStore
from lorae.runs import Run
from lorae.runs.schema import Config
from lorae.system.tensor_file import metadata_of, sealed
from tests.conftest import save_blank
from tests.edited_records import read_edited
from tests.integration.attempts import Hangs, attempt, refused
from tests.integration.damage import damaged_bytes, forged_record

pytestmark = pytest.mark.usefixtures("blank_figures")

FEW, MANY = 4, 1000
RECORDS = ("config.json", "evaluation.json", "model.json", "stats.jsonl")
ARRAYS = (
    "model.safetensors",
    "encoder_outputs.safetensors",
    "reference_items.safetensors",
    "samplers/gaussian-train.npz",
)
# A damaged one costs figures of the report, with a warning.
FIGURES = ("figure_data.safetensors", "figures/samples-gaussian.safetensors")

CONFIG = Config.__required_keys__ | Config.__optional_keys__


def campaign(count, seed, content, check, *, forge=False):
    """Check many variants of a content; report the first ones that fall."""
    generator = np.random.default_rng(seed)
    fallen, unchanged = [], 0
    for number in range(count):
        forged = forge and number % 2 == 1
        variant = (forged_record if forged else damaged_bytes)(content, generator)
        if variant == content:
            unchanged += 1
            continue
        try:
            check(number, variant, forged)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            fallen.append(f"{number}: {error!r:.300} at {place.filename}:{place.lineno}")
    assert unchanged < max(2, count / 5)
    assert not fallen, f"{len(fallen)} of {count}:\n" + "\n".join(fallen[:12])


def digests(folder):
    """Digest of each file below a folder by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".lock" not in path.name
    }


counts = pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.faults)])


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """A folder with a finished run that has all files, and codes for it."""
    place = tmp_path_factory.mktemp("written")
    run = shutil.copytree(trained.path, place / "run")
    lorae.sample(run, 2, out=place / "sampled.npy")
    np.save(place / "codes.npy", np.zeros((2, 8), np.float32))
    return place


@pytest.fixture(scope="module")
def work(written, image_file, tmp_path_factory):
    """A folder to damage a copy of the run in, and what each command makes of an undamaged one."""
    place = tmp_path_factory.mktemp("work")
    shutil.copy(written / "codes.npy", place)
    known = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_blank)
        for words in commands(place, image_file):
            fresh(place, written)
            known[words[0]] = result(words, place)
            assert known[words[0]][0] == 0, words
    return place, known


def fresh(place, written):
    """Put an undamaged copy of the run in place, and an empty folder for results."""
    for name in ("run", "out"):
        shutil.rmtree(place / name, ignore_errors=True)
    shutil.copytree(written / "run", place / "run")
    (place / "out").mkdir()


def result(words, place, warned=None):
    """Exit code and output of a command, without the time, and the digests of the files that it makes.

    A damaged name of a checksum is a further key of a record, which a new run has too.
    """
    code, printed = attempt(*words, warned=warned)
    for path in place.glob("out/*/config.json"):
        path.write_text(json.dumps({name: value for name, value in read_edited(path).items() if name in CONFIG}))
    return code, re.sub(r'"created": "[^"]*"', "", printed), digests(place / "out")


def commands(place, image_file):
    """Commands that read a run, and write to `out` or to standard output alone."""
    run, out = place / "run", place / "out"
    return [
        ["spectrum", run, "--json"],
        ["compare", run, run, "--out", out / "page.html"],
        ["report", run, "--out", out / "page.html"],
        ["reconstruct", run, "--out", out / "grid.png"],
        ["encode", run, image_file, "--out", out / "codes.npy"],
        ["decode", run, place / "codes.npy", "--out", out / "items.npy"],
        ["sample", run, "-n", "3", "--out", out / "items.npy"],
        ["truncate", run, "--rank", "2", "--out", out / "cut"],
        ["export", run, "--out", out / "exported"],
        ["interpolate", run, "--pairs", "2", "--out", out / "paths"],
        ["evaluate", run, "--only", "rank", "--json"],
        ["resume", run, "--json"],
        ["train", image_file, "--config", run / "config.json", "--dry-run", "--out", out / "run"],
    ]


@counts
@pytest.mark.parametrize("name", [*RECORDS, *ARRAYS])
def test_a_damaged_file_of_a_run_is_noticed_by_every_command(name, count, written, work, image_file):
    place, known = work

    def check(number, variant, forged):
        words = commands(place, image_file)[number % len(known)]
        fresh(place, written)
        (place / "run" / name).write_bytes(variant)
        found = result(words, place)
        if found[0] == 0 and not forged:
            assert found == known[words[0]], f"unnoticed by {words[0]}"

    campaign(count, len(name), (written / "run" / name).read_bytes(), check, forge=name in RECORDS)


@counts
@pytest.mark.parametrize("name", FIGURES)
def test_a_damaged_file_of_figures_costs_a_warning(name, count, written, work, image_file):
    place, known = work
    pages = [words for words in commands(place, image_file) if words[0] in ("report", "compare")]

    def check(number, variant, _):
        words, warned = pages[number % len(pages)], list[str]()
        fresh(place, written)
        (place / "run" / name).write_bytes(variant)
        found = result(words, place, warned)
        assert found[0] == 0
        assert warned or found == known[words[0]], f"unnoticed by {words[0]}"

    campaign(count, len(name), (written / "run" / name).read_bytes(), check)


@counts
def test_a_damaged_checkpoint_is_noticed(count, image_file, small, train_until, tmp_path):
    train_until(8, str(image_file), out=tmp_path / "interrupted", checkpoint_every=4, **small)
    whole = lorae.resume(shutil.copytree(tmp_path / "interrupted", tmp_path / "whole"), quiet=True)
    expected = digests(whole.path)["model.safetensors"]
    state = plain(Run(tmp_path / "interrupted").load_checkpoint())
    run = tmp_path / "run"

    def check(number, variant, _):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(tmp_path / "interrupted", run)
        (run / "checkpoints" / "last.pt").write_bytes(variant)
        if number % 20:
            assert refused(lambda: plain(Run(run).load_checkpoint())) in (None, state)
        elif attempt("resume", run)[0] == 0:
            assert digests(run)["model.safetensors"] == expected

    campaign(count, 1, (tmp_path / "interrupted" / "checkpoints" / "last.pt").read_bytes(), check)


def plain(value):
    """Nested tuples that can be compared."""
    if isinstance(value, dict):
        return tuple((key, plain(value[key])) for key in value)
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    return np.asarray(value).tobytes() if hasattr(value, "numpy") else value


@counts
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_damaged_model_of_a_hub_is_noticed(name, count, written, tmp_path):
    exported = lorae.export_run(written / "run", out=tmp_path / "exported")
    codes = np.ones((2, lorae.from_pretrained(exported).spec.latent_dim), np.float32)
    expected, content = lorae.from_pretrained(exported).decode(codes).tobytes(), (exported / name).read_bytes()

    def check(_, variant, forged):
        (exported / name).write_bytes(variant)
        found = refused(lambda: lorae.from_pretrained(exported))
        if found is not None and not forged:
            assert found.decode(codes).tobytes() == expected

    campaign(count, 2, content, check, forge=name == "model.json")


@counts
def test_a_damaged_file_of_an_estimator_is_noticed(count, vectors, tmp_path):
    fitted = lorae.LoRAE(rank=2, epochs=1, random_state=0).fit(vectors)
    content, expected = fitted.save(tmp_path / "file").read_bytes(), fitted.transform(vectors).tobytes()

    def check(_, variant, __):
        (tmp_path / "file").write_bytes(variant)
        found = refused(lambda: lorae.LoRAE.load(tmp_path / "file"))
        assert found is None or found.transform(vectors).tobytes() == expected

    campaign(count, 3, content, check)


@counts
def test_a_forged_file_of_an_estimator_is_refused_or_works(count, vectors, tmp_path):
    path = lorae.LoRAE(rank=2, epochs=1, random_state=0).fit(vectors).save(tmp_path / "file")
    tensors, metadata = load_file(path), metadata_of(path.read_bytes())
    assert lorae.LoRAE.load(path).transform(vectors).shape == (120, 2)

    def check(_, variant, __):
        path.write_bytes(sealed(save(tensors, {"lorae": variant.decode(errors="replace")})))
        found = refused(lambda: lorae.LoRAE.load(path))
        if found is not None:
            try:
                assert found.inverse_transform(found.transform(vectors)).shape == vectors.shape
                found.score_samples(vectors)
            except ValueError as error:  # scikit-learn checks parameters where they are used
                if "(from parameter of LoRAE)" not in str(error):
                    raise

    campaign(count, 11, metadata["lorae"].encode(), check, forge=True)


# Files of users: other bytes are other data, so that a result has another fingerprint.


def npy(images):
    return saved(np.save, images)


def npz(images):
    return saved(np.savez, images=images, labels=np.arange(len(images)))


def packed_npz(images):
    return saved(np.savez_compressed, images=images, labels=np.arange(len(images)))


def saved(save, *arrays, **named):
    content = io.BytesIO()
    save(content, *arrays, **named)
    return content.getvalue()


def image(kind):
    def made(images):
        content = io.BytesIO()
        Image.fromarray(images[0, 0]).save(content, kind, **({"lossless": True} if kind == "WEBP" else {}))
        return content.getvalue()

    return made


def stack(images):
    content = io.BytesIO()
    first, *others = (Image.fromarray(picture[0]) for picture in images[:12])
    first.save(content, "TIFF", save_all=True, append_images=others)
    return content.getvalue()


def archive(images):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for number, picture in enumerate(images[:8]):
            file.writestr(f"{number % 2}/{number}.png", image("PNG")(picture[None]))
    return content.getvalue()


def csv(images):
    return ("a,b,c\n" + "\n".join(f"{row},{row / 7},-{row}e-3" for row in range(20)) + "\n").encode()


def parquet(images):
    import pyarrow
    from pyarrow.parquet import write_table

    content = io.BytesIO()
    write_table(pyarrow.table({"a": np.arange(20.0), "b": np.arange(20) / 7}), content)
    return content.getvalue()


FILES = {
    "items.npy": npy,
    "items.npz": npz,
    "packed.npz": packed_npz,
    "images.zip": archive,
    "stack.tif": stack,
    "table.csv": csv,
    "table.parquet": parquet,
    "folder/0.png": image("PNG"),
    "folder/0.jpg": image("JPEG"),
    "folder/0.webp": image("WEBP"),
    "folder/0.gif": image("GIF"),
    "folder/0.tif": image("TIFF"),
    "folder/0.bmp": image("BMP"),
    "folder/0.ppm": image("PPM"),
}


@counts
@pytest.mark.parametrize("name", FILES)
def test_damaged_data_of_a_user_are_refused_or_other_data(name, count, images, written, tmp_path, monkeypatch):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    path, content = tmp_path / name, FILES[name](images)
    path.parent.mkdir(exist_ok=True)
    source = path.parent if "folder" in name else path
    for other in range(1, 4) if "folder" in name else ():
        (path.parent / f"{other}.png").write_bytes(image("PNG")(images[other:]))
    path.write_bytes(content)
    whole = lorae.load_data(str(source))
    arrays = whole.train.inputs.tobytes(), whole.test.inputs.tobytes()

    def check(number, variant, _):
        path.write_bytes(variant)
        if number % 10 == 0 and "table" not in name:
            attempt("encode", written / "run", source, "--json")
            return
        if number % 10 == 5:
            attempt("fid", source, source, "--features", "raw")
            return
        words = ["--skip-bad"] if number % 2 else []
        code, printed = attempt("data", source, "--json", *words)
        if code == 0 and json.loads(printed)["fingerprint"] == whole.fingerprint:
            found = lorae.load_data(str(source))
            assert (found.train.inputs.tobytes(), found.test.inputs.tobytes()) == arrays

    campaign(count, len(name), content, check)


@counts
def test_damaged_idx_files_are_noticed(count, images, tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    pixels = (np.arange(20 * 28 * 28) % 256).astype(np.uint8)
    content = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (20, 28, 28)) + pixels.tobytes()

    def check(number, variant, _):
        found = refused(lambda: parse_idx(variant, "/file"))
        assert found is None or found.size <= len(variant)

    campaign(count, 4, content, check)
    packed = gzip.compress(content)

    def check_packed(number, variant, _):
        assert (
            refused(lambda: mnist._verified(variant, "train-images-idx3-ubyte.gz", mnist.SOURCES["mnist"], "/file"))
            is None
        )

    campaign(count, 5, packed, check_packed)


@counts
@pytest.mark.parametrize("name", ["train.npy", "test_labels.npy", "info.json"])
def test_a_damaged_cache_is_noticed(name, count, images, tmp_path, monkeypatch):
    np.savez(tmp_path / "items.npz", images=images, labels=np.arange(len(images)))
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    words = ["data", tmp_path / "items.npz", "--json"]
    whole = lorae.load_data(str(tmp_path / "items.npz"))
    expected = attempt(*words), whole.train.inputs.tobytes(), whole.train.labels.tobytes()
    (path,) = (tmp_path / "cache").rglob(name)
    content = path.read_bytes()

    def check(number, variant, forged):
        path.write_bytes(variant)
        found = attempt(*words)
        if found[0] == 0 and not forged:
            data = lorae.load_data(str(tmp_path / "items.npz"))
            assert (found, data.train.inputs.tobytes(), data.train.labels.tobytes()) == expected

    campaign(count, 6, content, check, forge=name == "info.json")


@counts
def test_damaged_facts_about_image_files_are_noticed(count, images, tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images.zip").write_bytes(archive(images))
    words = ["data", tmp_path / "images.zip", "--json"]
    expected = attempt(*words)
    (path,) = (tmp_path / "cache").rglob("facts.json")

    def check(number, variant, forged):
        path.write_bytes(variant)
        found = attempt(*words)
        assert forged or found[0] == 2 or found == expected

    campaign(count, 7, path.read_bytes(), check, forge=True)


@counts
def test_a_damaged_file_of_settings_is_refused_or_other_settings(count, trained, image_file, tmp_path):
    settings = {name: value for name, value in trained.config["settings"].items() if value is not None}
    content = yaml.safe_dump(settings).encode()
    path = tmp_path / "settings.yaml"

    def check(number, variant, forged):
        path.write_bytes(variant)
        attempt("train", image_file, "--config", path, "--dry-run", "--out", tmp_path / "run")

    campaign(count, 8, content, check)
    campaign(count, 9, json.dumps(settings).encode(), check, forge=True)  # JSON is YAML


@counts
@pytest.mark.parametrize("name", ["records.jsonl", "job"])
def test_damaged_records_of_a_study_are_noticed_or_measured_anew(name, count, tmp_path):
    store = ResultStore(tmp_path)
    jobs = [Job(f"job {number}", {"model": {"settings": {"seed": number}}}) for number in range(3)]
    for job in jobs:
        store.write(job, {"value": [0.1, None, {"a": "b"}]}, 1.5)
    if name == "records.jsonl":
        store.gather(jobs)
        shutil.rmtree(tmp_path / "jobs")
    path = tmp_path / name if name == "records.jsonl" else store._path(jobs[0])
    expected, content = store.finished(), path.read_bytes()

    def check(number, variant, forged):
        path.write_bytes(variant)
        found = refused(store.finished)
        if found is not None:
            store.state(jobs)
            assert forged or all(expected[key].items() <= record.items() for key, record in found.items())

    campaign(count, 10, content, check, forge=True)


def test_the_campaign_notices_what_falls():
    def check(number, variant, _):
        if number == 3:
            raise KeyError("a traceback")
        if number == 4:
            raise Hangs

    with pytest.raises(AssertionError, match=r"2 of 6:\s+3: KeyError.*\s+4: Hangs"):
        campaign(6, 0, bytes(1000), check)
