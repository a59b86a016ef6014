"""Values of a run folder as words and numbers of a page."""

from collections.abc import Mapping
from typing import Any

# What stands where there is no value.
NOTHING = "–"


def number(value: Any) -> str:
    """Four significant digits are all that a mean over a test set supports."""
    return f"{value:.4g}" if isinstance(value, (int, float)) else NOTHING


def count(value: Any) -> str:
    """A whole number with commas."""
    return f"{value:,.0f}" if isinstance(value, (int, float)) else NOTHING


def duration(seconds: Any) -> str:
    """Seconds in the units that suit them."""
    if not isinstance(seconds, (int, float)):
        return NOTHING
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def plain(value: Any) -> str:
    """A JSON value in words: no braces, no quotes."""
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        numbers = all(isinstance(item, int) for item in value)
        return (" × " if numbers else ", ").join(plain(item) for item in value)
    return str(value)
