"""Requests of the page, bounded and typed, and the JSON of items."""

import base64
import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from lorae.errors import LoraeError
from lorae.validation import Rule

# Bytes of a JSON body: the numbers of an item of 100,000 entries.
MOST_JSON = 4 * 2**20
# Bytes of a picture: those of a large photograph.
MOST_PICTURE = 8 * 2**20


class RefusedError(Exception):
    """A request that is refused, with a status and a sentence for the page, written here and not by a library."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def answer(content: dict[str, Any], status: int = 200) -> Response:
    """Return a JSON response; numbers that are not finite are an error here, since JSON has none."""
    return Response(json.dumps(content, allow_nan=False, separators=(",", ":")), status, media_type="application/json")


async def body_of(request: Request, most: int, media_type: str) -> bytes:
    """Return the body of a request of at most so many bytes; no more of it is read."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        raise RefusedError(415, f"expected a body of type {media_type}")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise RefusedError(413, f"larger than {most // 2**20} MiB, the most that is accepted")
        parts.append(part)
    return b"".join(parts)


async def json_of(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body of a request."""
    content = await body_of(request, MOST_JSON, "application/json")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise RefusedError(400, "expected a JSON object") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "expected a JSON object")
    return found


def numbers(value: Any, name: str, count: int, largest: float) -> NDArray[np.float64]:
    """Return a list of exactly `count` finite numbers up to a magnitude, (count,)."""
    plain = isinstance(value, list) and all(type(each) in (int, float) for each in value)
    if not plain or len(value) != count or not all(abs(each) <= largest for each in value):  # false for NaN
        raise RefusedError(400, f"{name}: expected {count} numbers between -{largest:g} and {largest:g}")
    return np.array(value, dtype=np.float64)


def parameter(values: Any, name: str, rule: Rule) -> Any:
    """Return a value of a query or a JSON object that follows a rule."""
    try:
        return rule.check(name, values.get(name), "request")
    except LoraeError:
        raise RefusedError(400, f"{name}: expected {rule.expected}") from None


def item_json(item: NDArray[Any] | None) -> dict[str, str] | None:
    """Return an item as text: the bytes of an image, or the numbers of any other as float64, in base 64."""
    if item is None:
        return None
    if item.dtype == np.uint8:
        return {"pixels": base64.b64encode(item.tobytes()).decode("ascii")}
    return {"numbers": base64.b64encode(item.astype("<f8").tobytes()).decode("ascii")}


def finite(value: float | None) -> float | None:
    """Return a number as it is, and None for one that JSON cannot hold, of a model that has diverged."""
    return value if value is not None and math.isfinite(value) else None


def rounded(values: NDArray[np.float64]) -> list[float]:
    """Return numbers with seven digits, as many as latents have."""
    return [float(f"{value:.7g}") for value in np.nan_to_num(values).tolist()]
