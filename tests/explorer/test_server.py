"""The command and the server: addresses, ports, warnings, missing packages, and an end without a trace."""

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import webbrowser

import pytest

import lorae
from lorae.cli import parser as cli
from lorae.errors import LoraeError
from lorae.explorer import server
from lorae.extras import install_command
from tests.edited_records import read_edited


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Windows are others")
def test_the_command_serves_until_it_is_interrupted(explored):
    words = [sys.executable, "-m", "lorae", "explore", str(explored / "gone"), "--port", "0", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        address = re.search(r"the explorer is at (http://127\.0\.0\.1:\d+/) ", line)[1]
        with urllib.request.urlopen(f"{address}api/session", timeout=60) as answer:
            assert json.load(answer)["name"] == "gone"
        request = urllib.request.Request(address, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        refused.value.close()
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert json.loads(printed) == {"address": address}
    assert errors == "lorae: ended\n"


# Threads that use the model at the end of the process, as jobs in the background do.
SCRIPT = """
import os, sys, threading
from lorae.explorer import session
session.CHUNK = 1
opened = session.Session(sys.argv[1])
opened.background.wait(60)
for _ in range(4):
    threading.Thread(target=lambda: [opened._errors() for _ in range(1000)], daemon=True).start()
threading.excepthook = lambda arguments: os.write(1, f"{arguments.exc_value}\\n".encode())
opened.close()
"""


def test_a_closed_session_lets_its_process_end_in_the_middle_of_the_work(explored):
    words = [sys.executable, "-c", SCRIPT, str(explored / "images")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.splitlines()) <= {"the session is closed"}


def test_a_port_in_use_is_replaced_only_where_none_was_asked_for(capsys, monkeypatch):
    with server.listen("127.0.0.1", 0) as first:
        taken = first.getsockname()[1]
        monkeypatch.setattr(server, "PORT", taken)
        with server.listen("127.0.0.1", None) as second:
            assert second.getsockname()[1] not in (taken, 0)
        assert capsys.readouterr().err == f"lorae: port {taken} is in use, so another one is taken\n"
        with pytest.raises(LoraeError, match=rf"port: cannot listen to {taken} .* pass port=0 for a free one"):
            server.listen("127.0.0.1", taken)


BAD = {
    "port": (["--port", "70000"], "port: got '70000', expected a whole number of at least 0 and at most 65535"),
    "host": (["--host", "no such host"], "host: got 'no such host', expected a name or an address of this machine"),
    "unfinished": (["--port", "0"], "is no run folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_end_with_one_line(name, explored, tmp_path, run_cli):
    words, expected = BAD[name]
    run = tmp_path if name == "unfinished" else explored / "images"
    code, printed, errors = run_cli("explore", run, *words)
    assert (code, printed) == (2, "")
    assert expected in errors
    assert errors.count("\n") == 1


def _without_name(path):
    config = read_edited(path)
    del config["data"]["name"]
    path.write_text(json.dumps(config))


DAMAGED = {
    "evaluation.json": (lambda path: path.write_text("{"), "evaluation.json: not readable as JSON"),
    "samplers/gaussian-train.npz": (lambda path: path.write_bytes(path.read_bytes()[:300]), "delete it to fit it anew"),
    "config.json": (_without_name, "config.json: data.name is missing; restore the file"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_run_ends_with_one_line(name, explored, tmp_path, run_cli, monkeypatch):
    monkeypatch.setattr(server, "_serve", lambda *_: pytest.fail("it is served"))
    run, (damage, expected) = tmp_path / "run", DAMAGED[name]
    shutil.copytree(explored / "images", run)
    if name.startswith("samplers"):
        lorae.sample(run, 4, sampler="gaussian")
    damage(run / name)
    code, printed, errors = run_cli("explore", run, "--port", "0")
    assert (code, printed, errors.count("\n")) == (2, "", 1)
    assert expected in errors
    assert name in errors


def test_more_connections_than_uploads_may_take_memory_are_refused():
    assert server.server_of(None).config.limit_concurrency == server.CONNECTIONS


@pytest.mark.parametrize(("host", "warns"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_a_host_that_others_reach_is_warned_of(host, warns, explored, monkeypatch, capsys):
    served = []
    monkeypatch.setattr(server, "_serve", lambda app, listening, opened: served.append(opened))
    address = lorae.explore(explored / "images", host=host, port=0, open_browser=True)
    errors = capsys.readouterr().err
    assert ("every machine that reaches '0.0.0.0' can use this run" in errors) is warns
    assert errors.count("\n") == 1 + warns
    assert served == [address]
    assert address.startswith("http://localhost:" if host == "localhost" else "http://127.0.0.1:")


def test_the_browser_is_opened_if_it_is_asked_for(explored, monkeypatch):
    opened = []

    def open_and_interrupt(address):
        with urllib.request.urlopen(address, timeout=60) as answer:
            opened.append(answer.status)
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", open_and_interrupt)
    assert cli.main(["explore", str(explored / "images"), "--port", "0", "--open"]) == 0
    assert opened == [200]


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package, explored, monkeypatch, run_cli):
    monkeypatch.setitem(sys.modules, package, None)
    code, _, errors = run_cli("explore", explored / "images")
    assert code == 2
    assert f"cannot import {package}" in errors
    assert install_command("explore") in errors


def test_neither_torch_nor_the_web_server_is_imported_before_it_is_needed():
    program = (
        "import sys\nfrom lorae.cli import main\nimport lorae.explorer\n"
        "try: main(['explore', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'starlette', 'uvicorn', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
