"""Measure how long the explorer takes to answer, by route, over HTTP on this machine.

Run it by `python -m benchmarks.explorer`, which first trains LoRAE on some thousand digits, or with a run of your own:
`python -m benchmarks.explorer RUN`. Each route is asked in turn, so that a busy machine slows all of them, each time
for something that has not been asked before. The aim is a median of at most 0.3 seconds on two cores.
"""

import argparse
import http.client
import io
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lorae
from lorae.explorer.app import make_app
from lorae.explorer.server import listen, server_of
from lorae.explorer.session import Session
from lorae.reports.formatting import markdown_table

TARGET = 0.3
ROUNDS = 15
TRAINED = {"method": "lorae", "penalty": 1e-4, "epochs": 3, "limit": 4000, "quiet": True}


def requests(session: Session, turn: int) -> Iterator[tuple[str, str, str, bytes | None, str]]:
    """Yield title, method, path, body and its type of each request of a round, none of which an earlier round had."""
    code = session.content.start.codes[turn % len(session.content.start)].tolist()
    decoded = {"code": code, "axis": turn % len(code), "steps": 9, "reach": 3.0}
    ranks = session.content.axes.count + 1
    yield "the run", "GET", "/api/session", None, ""
    yield "an item, scored", "GET", f"/api/item?split=start&index={turn}", None, ""
    yield "a slider, with its strip", "POST", "/api/decode", json.dumps(decoded).encode(), "application/json"
    yield "a path of 10", "GET", f"/api/path?first={turn}&second={turn + 1}&kind=spherical&steps=10", None, ""
    for sampler in session.samplers:
        yield f"24 samples, {sampler}", "GET", f"/api/samples?sampler={sampler}&n=24&seed={turn}", None, ""
    if session.reason_against("latents") is None:
        sampler = session.samplers[0]
        yield "nearest items", "GET", f"/api/nearest?sampler={sampler}&n=24&seed={turn}&index={turn % 24}", None, ""
        yield "a truncation", "GET", f"/api/truncation?rank={turn * max(1, ranks // ROUNDS) % ranks}", None, ""
        yield "a scatter plot", "GET", f"/api/scatter?split=train&x=0&y={turn % session.content.axes.count}", None, ""
    if session.content.kind == "images":
        pixels = np.random.default_rng(turn).integers(0, 256, (256, 256, 3)).astype(np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "png")
        yield "a drawing", "POST", "/api/picture?drawn=yes", content.getvalue(), "application/octet-stream"


def measure(session: Session) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds of each answer, on the clock and of the process's threads, by title of the request."""
    found: dict[str, list[tuple[float, float]]] = {}
    with listen("127.0.0.1", 0) as listening:
        server = server_of(make_app(session))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=60)
        for turn in range(ROUNDS):
            for title, method, path, body, media in requests(session, turn):
                start, used = time.perf_counter(), time.process_time()
                connection.request(method, path, body, {"Content-Type": media} if media else {})
                answer = connection.getresponse()
                answer.read()
                found.setdefault(title, []).append((time.perf_counter() - start, time.process_time() - used))
                if answer.status != 200:
                    raise RuntimeError(f"{path}: got status {answer.status}, expected 200")
        connection.close()
        server.should_exit = True
        thread.join()
    return found


def main() -> None:
    """Measure a run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", nargs="?", help="a run; by default one on 4,000 digits is trained")
    given = parser.parse_args().run
    with tempfile.TemporaryDirectory() as folder:
        run: Any = given or lorae.train("mnist", out=Path(folder) / "digits", **TRAINED)
        start = time.perf_counter()
        session = Session(run)
        opened = time.perf_counter() - start
        session.background.wait(600)
        ready = time.perf_counter() - start
        found = measure(session)
    rows = []
    for title, answers in found.items():
        times, used = zip(*answers, strict=True)
        rows.append((statistics.median(times), max(times), statistics.median(used), title))
    rows.sort(reverse=True)
    print(f"opened in {opened:.1f} s; all densities and errors are there after {ready:.1f} s\n")
    shown = [(title, *(f"{value:.3f}" for value in values)) for *values, title in rows]
    print(markdown_table(("answer", "median, s", "slowest, s", "median CPU, s"), shown))
    slow = [title for median, _, _, title in rows if median > TARGET]
    print(f"\nslower than {TARGET} s: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main()
