"""Databases: passwords are in no file, page or message; PostgreSQL is shared by several calls."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import lorae
from lorae.cli.parser import main
from lorae.errors import LoraeError
from lorae.sweeps import storage
from tests.sweeps.test_processes import PATIENCE, started

SECRET = "s3cret/of@us"
QUOTED = "s3cret%2Fof%40us"


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        (f"postgresql://me:{QUOTED}@host:5433/db", "postgresql+psycopg://me@host:5433/db"),
        (f"postgresql://host/db?user=me&password={QUOTED}", "postgresql+psycopg://host/db?user=me"),
        (f"postgresql+psycopg://me@host/db?sslpassword={QUOTED}&sslmode=require", None),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
    ],
)
def test_urls_are_shown_without_their_secrets(url, plain):
    found = storage.without_password(url)
    assert "s3cret" not in found
    assert plain is None or found == plain
    assert storage.has_password(url) == ("s3cret" in url)


@pytest.mark.parametrize("url", [f"postgresql//me:{QUOTED}@host", f"://{QUOTED}", f"nosuch://me:{QUOTED}@host/db"])
def test_a_wrong_url_is_named_without_its_secrets(url):
    definition: Any = {"study": "s", "pruner": "none", "objective": ["error"]}
    with pytest.raises(LoraeError, match="storage: cannot") as caught:
        storage.open_study(url, definition).__enter__()
    assert "s3cret" not in str(caught.value)


def test_a_database_without_the_study_is_named(searched, tmp_path):
    with pytest.raises(LoraeError, match="has no study 'lorae-grid-"):
        lorae.sweep(resume=searched.path, storage=f"sqlite:///{tmp_path / 'other.db'}")


def test_a_database_that_cannot_be_reached_leaves_the_page_of_the_records(searched, tmp_path):
    copy = shutil.copytree(searched.path, tmp_path / "copy")
    (copy / "study.db").unlink()
    (copy / "study.db").mkdir()
    with pytest.warns(lorae.LoraeWarning, match="the page is of the records"):
        page = lorae.sweeps.write_report(copy)
    assert "4 trials trained to the end" in page.read_text("utf-8")
    with pytest.raises(LoraeError, match="storage: cannot use sqlite"):
        lorae.sweep(resume=copy)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The URL of a database of PostgreSQL with a password, which runs until the tests end."""
    tools = {name: shutil.which(name) or _debian(name) for name in ("initdb", "postgres")}
    missing = [name for name, path in tools.items() if path is None]
    if missing:
        pytest.skip(f"there is no {' and no '.join(missing)} (apt-get install postgresql)")
    user = None
    if os.getuid() == 0:  # which the server refuses to run as
        try:
            user = pwd.getpwnam("postgres").pw_name
        except KeyError:
            pytest.skip("root needs the user postgres to start the server")
    folder = Path("/tmp") / f"lorae-postgres-{os.getpid()}"  # a short path, for the socket, that the user can reach
    folder.mkdir(mode=0o755)
    try:
        (folder / "password").write_text(SECRET)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        data = folder / "data"
        options = ["--username=me", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256", "--no-sync"]
        subprocess.run([tools["initdb"], "-D", data, *options], check=True, user=user, cwd="/", capture_output=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [tools["postgres"], "-D", data, "-p", str(port), *settings], user=user, cwd="/", stdout=log, stderr=log
            )
        try:
            _wait_until_ready(port, process, folder / "log")
            yield f"postgresql://me:{QUOTED}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # without waiting for open connections
            process.wait(PATIENCE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _debian(name):
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else None


def _wait_until_ready(port, process, log):
    psycopg = pytest.importorskip("psycopg")
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="me", password=SECRET, dbname="postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.mark.usefixtures("blank_figures")
def test_two_machines_share_a_sweep_on_postgresql(server, table_file, fast, tmp_path):
    out = tmp_path / "s"
    search = ["--penalty", "1e-3,1e-1", "--seeds", "0,1", "--epochs", 5, "--network", "mlp", "--width", 0.1]
    search += ["--storage", server]
    other = started(table_file, out, *search, workers=1)
    printed = main(["sweep", str(table_file), "--out", str(out), "--workers", "1", *map(str, search)])
    assert printed == 0
    said = other.communicate(timeout=PATIENCE)
    assert other.returncode == 0, said
    found = lorae.sweep(resume=out, storage=server, workers=1, quiet=True)
    assert [record["state"] for record in found.trials] == ["complete"] * 4
    assert len(list((out / "trials").iterdir())) == 4
    for path in (path for path in out.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert QUOTED.encode() not in content, path
    with pytest.raises(LoraeError, match="storage: cannot use postgresql") as caught:
        lorae.sweep(resume=out, storage=server.replace(QUOTED, "wr0ng"), workers=1)
    assert "wr0ng" not in str(caught.value)
    with pytest.raises(LoraeError, match="storage: cannot use postgresql"):  # no password is kept
        lorae.sweep(resume=out, workers=1)
    with pytest.raises(LoraeError, match="a URL with a password would be written into the files of the jobs"):
        lorae.sweep(resume=out, storage=server, executor="local")
