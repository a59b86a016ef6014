"""The web application: the page, and a route for each thing that it shows."""

import warnings
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lorae.data import even_rows
from lorae.data.pictures import readable_formats
from lorae.errors import MODEL_FAILURES, LoraeError, LoraeWarning, NotApplicableError
from lorae.explorer.content import Points
from lorae.explorer.description import describe
from lorae.explorer.guard import Guard
from lorae.explorer.requests import (
    MOST_PICTURE,
    RefusedError,
    answer,
    body_of,
    finite,
    item_json,
    json_of,
    numbers,
    parameter,
    rounded,
)
from lorae.explorer.session import PATHS, Items, Scored, Session
from lorae.validation import choice, real, whole

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Points of the scatter plot, at least, and fewer than twice as many: more would cover each other.
SCATTERED = 1500
# Items of a strip and of a page of samples, at most.
MOST_STEPS, MOST_SAMPLES = 16, 64
NEIGHBORS = 6
SEEDS = 2**31 - 1

View = Callable[[Session, Request], dict[str, Any]]


def make_app(session: Session, host: str = "127.0.0.1") -> Starlette:
    """Return the application of a session for a server on a host; LoraeError for records that are damaged."""
    described = describe(session)  # now, since a damaged record is to end the command
    readable_formats()  # kept from now on; Pillow loads all its decoders for it, for which the first answer would wait
    read: dict[str, View] = {
        "session": lambda *_: described,
        "item": _item,
        "path": _path,
        "samples": _samples,
        "nearest": _nearest,
        "scatter": _scatter,
        "truncation": _truncation,
    }
    sent: dict[str, Callable[[Session, Request], Awaitable[dict[str, Any]]]] = {
        "decode": _decode,
        "item": _numbers,
        "picture": _picture,
    }
    routes = [Route(f"/api/{name}", _reading(session, view)) for name, view in read.items()]
    routes += [Route(f"/api/{name}", _sending(session, view), methods=["POST"]) for name, view in sent.items()]
    return Starlette(
        routes=[*_pages(), *routes],
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={RefusedError: _refused, LoraeError: _inapplicable, HTTPException: _http_error},
    )


def _pages() -> list[Route]:
    """Return a route for each file of the page, read once; there is no other way into the package's folders."""
    found = {}
    folder = files("lorae.explorer") / "static"
    for place, prefix in ((folder, ""), (folder / "views", "views/")):
        for file in place.iterdir():
            if file.is_file():
                found[prefix + file.name] = file.read_bytes()
    found[""] = found.pop("index.html")

    def page(name: str, content: bytes) -> Route:
        media = TYPES["." + (name or ".html").rpartition(".")[2]]

        async def give(_: Request) -> Response:
            return Response(content, media_type=media)

        return Route(f"/{name}", give)

    return [page(name, content) for name, content in found.items()]


def _reading(session: Session, view: View) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        return answer(await run_in_threadpool(view, session, request))

    return respond


def _sending(
    session: Session, view: Callable[[Session, Request], Awaitable[dict[str, Any]]]
) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        return answer(await view(session, request))

    return respond


# Errors, none of which shows the page the text of an exception of a library, or a path


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return answer({"error": error.message}, error.status)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer({"error": "not found" if error.status_code == 404 else "not allowed"}, error.status_code)


async def _inapplicable(_: Request, error: Exception) -> Response:
    if isinstance(error, (NotApplicableError, *MODEL_FAILURES)):  # of the model; they name no file
        return answer({"error": str(error)}, 409)
    warnings.warn(str(error), LoraeWarning, stacklevel=2)
    return answer({"error": "a part of this run cannot be used; the terminal of the explorer says why"}, 409)


# Routes that read


def _points(session: Session, request: Request) -> Points:
    split = parameter(request.query_params, "split", choice("start", "train"))
    points = session.content.start if split == "start" else session.content.train
    if points is None:
        raise RefusedError(409, "the method has no encoder, so that training items have no codes")
    return points


def _item(session: Session, request: Request) -> dict[str, Any]:
    points = _points(session, request)
    index = parameter(request.query_params, "index", whole(0, len(points) - 1))
    label = None if points.labels is None else int(points.labels[index])
    place = {"label": label, "row": index * points.step}
    if points.items is None:
        made = session.item(points, index)
        return place | {"item": None, "code": rounded(points.codes[index]), "reconstruction": item_json(made)}
    return place | _scored_json(session.scored(session.item(points, index)))


def _scored_json(scored: Scored) -> dict[str, Any]:
    return {
        "item": item_json(scored.item),
        "code": rounded(scored.code),
        "reconstruction": item_json(scored.reconstruction),
        "error": finite(scored.error),
        "share": finite(scored.share),
        "anomaly": finite(scored.anomaly),
    }


def _several(items: Items) -> list[dict[str, str] | None]:
    return [item_json(item) for item in items]


def _path(session: Session, request: Request) -> dict[str, Any]:
    query, end = request.query_params, whole(0, len(session.content.start) - 1)
    first, second = parameter(query, "first", end), parameter(query, "second", end)
    steps = parameter(query, "steps", whole(2, MOST_STEPS))
    return {"items": _several(session.path(first, second, parameter(query, "kind", choice(*PATHS)), steps))}


def _drawn(session: Session, request: Request) -> Any:
    query = request.query_params
    sampler = parameter(query, "sampler", choice(*session.samplers))
    n = parameter(query, "n", whole(1, MOST_SAMPLES))
    return session.draw(sampler, n, parameter(query, "seed", whole(0, SEEDS)))


def _samples(session: Session, request: Request) -> dict[str, Any]:
    latents = _drawn(session, request)
    return {"ready": False} if latents is None else {"ready": True, "items": _several(session.decode_latents(latents))}


def _nearest(session: Session, request: Request) -> dict[str, Any]:
    latents = _drawn(session, request)
    if latents is None:
        return {"ready": False}
    index = parameter(request.query_params, "index", whole(0, len(latents) - 1))
    found, train = session.nearest(latents[index], NEIGHBORS), session.content.train
    assert train is not None
    labels = None if train.labels is None else train.labels[found.rows].tolist()
    return {
        "ready": True,
        "rows": (found.rows * train.step).tolist(),
        "distances": rounded(found.distances),
        "labels": labels,
        "items": _several(found.items),
    }


def _scatter(session: Session, request: Request) -> dict[str, Any]:
    points, axis = _points(session, request), whole(0, max(session.content.axes.count - 1, 0))
    x, y = (parameter(request.query_params, name, axis) for name in ("x", "y"))
    rows = even_rows(len(points), SCATTERED)
    return {
        "x": rounded(points.codes[rows, x]),
        "y": rounded(points.codes[rows, y]),
        "labels": None if points.labels is None else points.labels[rows].tolist(),
        "step": rows.step,
    }


def _truncation(session: Session, request: Request) -> dict[str, Any]:
    rank = parameter(request.query_params, "rank", whole(0, session.content.axes.count))
    found = session.truncated(rank)
    return {
        "rank": rank,
        "variance": found.variance,
        "error": finite(found.error),
        "items": _several(found.items),
    }


# Routes that take a body


async def _decode(session: Session, request: Request) -> dict[str, Any]:
    given, content = await json_of(request), session.content
    # Far beyond the items a network gives numbers that say nothing; a million deviations are a slip of the keyboard.
    largest = 1e6 * max(float(content.axes.deviations[0]), 1e-30)
    code = numbers(given.get("code"), "code", content.axes.count, largest)
    made = await run_in_threadpool(session.decode, code[None])
    found: dict[str, Any] = {"item": item_json(made[0])}
    if given.get("axis") is not None:
        axis = parameter(given, "axis", whole(0, content.axes.count - 1))
        steps = parameter(given, "steps", whole(2, MOST_STEPS))
        reach = parameter(given, "reach", real(0.0, 100.0))
        found["strip"] = _several(await run_in_threadpool(session.traversal, code, axis, steps, reach))
    return found


async def _numbers(session: Session, request: Request) -> dict[str, Any]:
    given, model = await json_of(request), session.content.model
    _refuse_without_encoder(session)
    if model.spec.images:
        raise RefusedError(400, "expected a picture: the run has images")
    size = int(np.prod(model.spec.shape))
    values = numbers(given.get("values"), "values", size, float(np.finfo(np.float32).max))
    item = values.reshape(model.spec.shape).astype(np.float64 if model.scaling.far else np.float32)
    return _scored_json(await run_in_threadpool(session.scored, item))


async def _picture(session: Session, request: Request) -> dict[str, Any]:
    _refuse_without_encoder(session)
    if not session.content.model.spec.images:
        raise RefusedError(400, "expected numbers: the run has no images")
    content = await body_of(request, MOST_PICTURE, "application/octet-stream")
    drawn = request.query_params.get("drawn") == "yes"

    def scored() -> Scored:
        try:
            item = session.picture(content, drawn=drawn)
        except LoraeError:
            raise RefusedError(422, "the picture is smaller than the square that this run crops") from None
        except Exception:  # a damaged file makes Pillow raise almost anything
            raise RefusedError(
                422,
                f"not a picture that can be read: expected {', '.join(readable_formats())}, undamaged, of at most 16 "
                "million pixels, with the size or shape of the items of this run",
            ) from None
        return session.scored(item)

    return _scored_json(await run_in_threadpool(scored))


def _refuse_without_encoder(session: Session) -> None:
    if not session.content.encodes:
        raise RefusedError(409, "the method has no encoder, so that items have no codes")
