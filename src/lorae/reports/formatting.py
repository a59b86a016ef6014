"""Numbers, JSON values and tables as text."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Shown in place of a missing value.
NOTHING = "–"

# The line under a Markdown table's header, by alignment.
_RULES = {None: "---", "left": ":---", "right": "---:", "center": ":---:"}


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], align: Sequence[str | None] | None = None
) -> str:
    """Return a Markdown table without a line break at its end; None leaves the alignment to the reader's program.

    >>> print(markdown_table(["method", "rank"], [["ae", "58"]], [None, "right"]))
    | method | rank |
    |---|---:|
    | ae | 58 |
    """
    rules = "".join(f"|{_RULES[side]}" for side in align or [None] * len(header))
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in (header, *rows)]
    return "\n".join([lines[0], f"{rules}|", *lines[1:]])


def mean_and_deviation(values: Sequence[float | None], mean: str = ".1f", deviation: str | None = None) -> str:
    """Return mean and sample standard deviation in the given formats; the mean alone of one value, a dash of none.

    >>> mean_and_deviation([1.0, 2.0, None]), mean_and_deviation([1.0], ".2f"), mean_and_deviation([])
    ('1.5 ± 0.7', '1.00', '–')
    """
    known = [float(value) for value in values if value is not None]
    if not known:
        return NOTHING
    text = format(statistics.fmean(known), mean)
    return text if len(known) == 1 else f"{text} ± {statistics.stdev(known):{deviation or mean}}"


def number(value: Any) -> str:
    """Return a number with four significant digits, as many as a test set supports, or a dash for no number."""
    return f"{value:.4g}" if isinstance(value, (int, float)) else NOTHING


def count(value: Any) -> str:
    """Return a whole number with thousands separators, or a dash for no number."""
    return f"{value:,.0f}" if isinstance(value, (int, float)) else NOTHING


def duration(seconds: Any) -> str:
    """Return seconds as text, in hours and minutes, minutes and seconds, or seconds."""
    if not isinstance(seconds, (int, float)):
        return NOTHING
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def plain(value: Any) -> str:
    """Return a JSON value as text without braces and quotes."""
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
