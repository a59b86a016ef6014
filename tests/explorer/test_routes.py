"""Every route of the explorer without a browser: what it answers, what it refuses, and what it never shows."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from lorae.errors import DivergedError, LoraeError, LoraeWarning
from lorae.explorer import app as application
from lorae.explorer.app import make_app
from lorae.explorer.guard import HEADERS
from lorae.explorer.requests import MOST_JSON, MOST_PICTURE
from tests.explorer.conftest import KINDS

OCTETS = {"content-type": "application/octet-stream"}


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


def array(item):
    if "pixels" in item:
        return np.frombuffer(base64.b64decode(item["pixels"]), np.uint8)
    return np.frombuffer(base64.b64decode(item["numbers"]), "<f8")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_every_kind_is_described_and_shown(kind, clients, explored):
    client = clients(kind)
    run = client.get("/api/session").json()
    assert run["name"] == kind
    assert str(explored) not in json.dumps(run)
    assert len(run["deviations"]) == run["latent_dim"]
    assert set(run["views"]) == {"axes", "paths", "samples", "spectrum", "latents", "own"}
    size = int(np.prod(run["shape"]))
    item = client.get("/api/item", params={"split": "start", "index": 0}).json()
    assert (item["item"] is None) == run["start"]["drawn"]
    assert len(array(item["reconstruction"])) == size
    made = client.post("/api/decode", json={"code": item["code"], "axis": 0, "steps": 3, "reach": 2}).json()
    np.testing.assert_allclose(array(made["item"]), array(item["reconstruction"]), rtol=1e-3, atol=1)
    assert len(made["strip"]) == 3
    path = client.get("/api/path", params={"first": 0, "second": 1, "kind": "spherical", "steps": 4}).json()
    assert len(path["items"]) == 4
    for sampler in run["samplers"]:
        query = {"sampler": sampler["name"], "n": 5, "seed": 1}
        found = client.get("/api/samples", params=query).json()
        assert found["ready"], sampler
        assert len(found["items"]) == 5
        near = client.get("/api/nearest", params=query | {"index": 2})
        assert near.status_code == (409 if kind == "generator" else 200)
    if run["views"]["latents"] is None:
        points = client.get("/api/scatter", params={"split": "train", "x": 0, "y": 1}).json()
        assert len(points["x"]) == len(points["y"]) == run["train"]["count"]
        assert (points["labels"] is None) == (kind not in ("images", "truncated"))
        truncation = client.get("/api/truncation", params={"rank": 1}).json()
        assert 0 < truncation["variance"] < 1
        assert truncation["error"] > 0


def test_a_picture_of_the_user_is_prepared_and_scored(clients, images):
    client = clients("images")
    exact = client.post("/api/picture", content=png(images[0, 0]), headers=OCTETS).json()
    np.testing.assert_array_equal(array(exact["item"]), images[0].ravel())
    assert exact["error"] > 0
    assert 0 <= exact["share"] <= 1
    large = np.full((64, 128, 3), 200, np.uint8)  # cropped to a square, resized and recolored
    resized = client.post("/api/picture?drawn=yes", content=png(large), headers=OCTETS).json()
    np.testing.assert_array_equal(array(resized["item"]), 200)
    colored = clients("colors").post("/api/picture", content=png(large), headers=OCTETS).json()
    assert len(array(colored["item"])) == 3 * 16 * 16


def _bomb():
    """A PNG that claims 30,000 x 30,000 pixels in a few bytes."""
    content = bytearray(png(np.zeros((8, 8), np.uint8)))
    content[16:24] = (30_000).to_bytes(4, "big") * 2
    return bytes(content)


PICTURES = {
    "text": (b"hello", 422),
    "empty": (b"", 422),
    "script": (b"%!PS-Adobe-3.0 EPSF-3.0\n", 422),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422),
    "truncated": (png(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))[:200], 422),
    "bomb": (_bomb(), 422),
    "too many pixels": (png(np.zeros((4001, 4001), np.uint8)), 422),
    "too many bytes": (bytes(MOST_PICTURE + 1), 413),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", PICTURES)
def test_what_is_no_picture_is_refused_in_one_sentence(name, clients):
    content, status = PICTURES[name]
    answer = clients("images").post("/api/picture", content=content, headers=OCTETS)
    assert answer.status_code == status
    message = answer.json()["error"]
    assert "expected PNG, JPEG" in message if status == 422 else "8 MiB" in message
    assert "Error" not in message


def test_numbers_of_the_user_are_scored(clients, sessions):
    item = np.asarray(sessions("vectors").content.train.items[3])
    found = clients("vectors").post("/api/item", json={"values": item.tolist()}).json()
    np.testing.assert_allclose(array(found["item"]), item)
    assert found["anomaly"] > 0
    signal = clients("signals").post("/api/item", json={"values": [0.5] * 20}).json()
    assert len(array(signal["reconstruction"])) == 20


REFUSED: dict[str, Any] = {
    "no JSON": ("POST", "/api/decode", {"content": b"[", "headers": {"content-type": "application/json"}}, 400),
    "a list": ("POST", "/api/decode", {"json": [1]}, 400),
    "another type": ("POST", "/api/decode", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
    "deep": (
        "POST",
        "/api/decode",
        {"content": b"[" * 200_000, "headers": {"content-type": "application/json"}},
        400,
    ),
    "too many bytes": (
        "POST",
        "/api/decode",
        {"content": b" " * (MOST_JSON + 1), "headers": {"content-type": "application/json"}},
        413,
    ),
    "too short": ("POST", "/api/decode", {"json": {"code": [0.0]}}, 400),
    "texts": ("POST", "/api/decode", {"json": {"code": ["0", "0", "0", "0"]}}, 400),
    "truth values": ("POST", "/api/decode", {"json": {"code": [True, False, True, False]}}, 400),
    "infinite": (
        "POST",
        "/api/decode",
        {"content": b'{"code": [1e999, 0, 0, 0]}', "headers": {"content-type": "application/json"}},
        400,
    ),
    "huge whole number": ("POST", "/api/decode", {"json": {"code": [10**400, 0, 0, 0]}}, 400),
    "no number": (
        "POST",
        "/api/decode",
        {"content": b'{"code": [NaN, 0, 0, 0]}', "headers": {"content-type": "application/json"}},
        400,
    ),
    "axis": ("POST", "/api/decode", {"json": {"code": [0, 0, 0, 0], "axis": 99}}, 400),
    "no index": ("GET", "/api/item?split=start", {}, 400),
    "index": ("GET", "/api/item?split=start&index=-1", {}, 400),
    "large index": ("GET", "/api/item?split=start&index=1e99", {}, 400),
    "split": ("GET", "/api/item?split=../test&index=0", {}, 400),
    "sampler": ("GET", "/api/samples?sampler=x&n=1&seed=0", {}, 400),
    "too many samples": ("GET", "/api/samples?sampler=gaussian&n=65&seed=0", {}, 400),
    "rank": ("GET", "/api/truncation?rank=1000", {}, 400),
    "numbers for images": ("POST", "/api/item", {"json": {"values": [0] * 256}}, 400),
    "no route": ("GET", "/api/secret", {}, 404),
    "a path": ("GET", "/..%2f..%2fsession.py", {}, 404),
    "a file of the package": ("GET", "/session.py", {}, 404),
    "method": ("DELETE", "/api/item", {}, 405),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_requests_are_refused_with_a_sentence(name, clients, explored):
    method, path, options, status = REFUSED[name]
    answer = clients("images").request(method, path, **options)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert len(answer.text) < 200
    assert str(explored) not in answer.text


def test_pictures_for_vectors_and_items_for_a_generator_are_refused(clients, images):
    picture = {"content": png(images[0, 0]), "headers": OCTETS}
    assert clients("vectors").post("/api/picture", **picture).status_code == 400
    assert clients("generator").post("/api/picture", **picture).status_code == 409
    assert clients("generator").get("/api/scatter", params={"split": "train", "x": 0, "y": 0}).status_code == 409


def failing(sessions, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(application, "_item", fail)
    return TestClient(make_app(sessions("images")), "http://localhost", raise_server_exceptions=False)


def test_a_fault_is_not_shown_to_the_page_and_has_the_headers_of_all_answers(sessions, monkeypatch):
    client = failing(sessions, monkeypatch, ValueError("secret /home/user"))
    answer = client.get("/api/item")
    assert answer.status_code == 500
    assert answer.json() == {"error": "the explorer met an error; its terminal shows it"}
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    # The server logs what is raised after the answer.
    raising = TestClient(client.app, "http://localhost")
    with pytest.raises(ValueError, match="secret"):
        raising.get("/api/item")


def test_what_cannot_be_used_is_said_in_the_terminal_and_not_on_the_page(sessions, monkeypatch):
    client = failing(sessions, monkeypatch, LoraeError("/home/user/run/x.npz: not a density"))
    with pytest.warns(LoraeWarning, match="/home/user/run/x.npz: not a density"):
        answer = client.get("/api/item")
    assert answer.status_code == 409
    assert answer.json() == {"error": "a part of this run cannot be used; the terminal of the explorer says why"}
    client = failing(sessions, monkeypatch, DivergedError("model: made values that are not finite"))
    assert client.get("/api/item").json() == {"error": "model: made values that are not finite"}


def test_a_density_that_is_not_fitted_yet_is_waited_for(sessions, clients, monkeypatch):
    monkeypatch.setattr(sessions("images").background, "result", lambda name: None)
    client = clients("images")
    query = {"sampler": "mixture", "n": 2, "seed": 0}
    assert client.get("/api/samples", params=query).json() == {"ready": False}
    assert client.get("/api/nearest", params=query | {"index": 0}).json() == {"ready": False}
    item = client.get("/api/item", params={"split": "start", "index": 0}).json()
    assert item["error"] > 0
    assert item["anomaly"] is None


# Hosts


HOSTS = {
    "127.0.0.1:8450": 200,
    "localhost:8450": 200,
    "LOCALHOST.": 200,
    "[::1]:8450": 200,
    "127.0.0.2": 200,
    "evil.example": 421,
    "127.0.0.1.evil.example": 421,
    "localhost.evil.example:8450": 421,
    "192.168.1.7:8450": 421,
    "": 421,
    "[": 421,
}


@pytest.mark.parametrize("host", HOSTS)
def test_only_names_of_this_machine_are_answered(host, clients):
    answer = clients("images").get("/api/session", headers={"host": host})
    assert answer.status_code == HOSTS[host]
    assert ("deviations" in answer.text) == (HOSTS[host] == 200)


def test_with_another_host_addresses_are_answered_but_no_other_names(sessions):
    client = TestClient(make_app(sessions("images"), "0.0.0.0"), "http://192.168.1.7:8450")
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421


def test_other_sites_are_refused(clients):
    client = clients("images")
    origins = {"http://127.0.0.1:8450": 200, "https://evil.example": 403, "null": 403}
    for origin, status in origins.items():
        answer = client.post("/api/decode", headers={"origin": origin}, json={"code": [0, 0, 0, 0]})
        assert answer.status_code == status


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
def test_requests_that_a_browser_sends_for_other_sites_are_not_computed(site, clients):
    client, headers = clients("images"), {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    status = 403 if site.endswith("-site") else 200
    answer = client.get("/api/samples?sampler=gaussian&n=64&seed=0", headers=headers)
    assert answer.status_code == status
    assert client.get("/main.js", headers=headers).status_code == status
    assert client.get("/", headers=headers).status_code == 200  # by a link


def test_the_page_loads_nothing_from_elsewhere_and_has_no_script_inside(clients):
    client = clients("images")
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "style=" not in page.text
    assert "<script>" not in page.text
    files = [route.path for route in client.app.routes if not route.path.startswith("/api/")]
    assert "/main.js" in files
    assert "/views/axes.js" in files
    for name in files:
        answer = client.get(name)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == policy
        outside = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in outside.replace("http://127", "")
        assert "https:" not in outside
        assert "innerHTML" not in outside
        if name.endswith(".js"):
            assert answer.headers["content-type"].startswith("text/javascript")
