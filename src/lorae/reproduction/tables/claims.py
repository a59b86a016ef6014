"""The paper's claims about its tables and figures, read from `claims.toml`, with checks of them. Imports no torch."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lorae.reproduction.pages.blocks import ClaimResult
from lorae.reproduction.tables import checks
from lorae.reproduction.tables.results import NotMeasuredError, ResultsTable, Value
from lorae.system.files import read_toml


@dataclass(frozen=True)
class Claim:
    """A claim in plain words, and the function of `checks` that decides it; `claims.toml` explains the entries."""

    tables: tuple[str, ...]
    sentence: str
    check: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    of_spectra: bool = False
    rows: tuple[str, ...] = ()


ALL_CLAIMS = [Claim(**values) for values in read_toml("lorae.reproduction.tables", "claims.toml")["claims"]]
CLAIMS = {
    name: [claim for claim in ALL_CLAIMS if name in claim.tables] for claim in ALL_CLAIMS for name in claim.tables
}


def judge_claims(results: ResultsTable, spectra: checks.Spectra) -> list[ClaimResult]:
    """Check the claims about a table on one data set, by the means over the seeds."""
    rows = {row.name for row in results.rows}
    claims = [claim for claim in CLAIMS.get(results.table.name, ()) if rows.issuperset(claim.rows)]
    return [_judge(claim, results, spectra) for claim in claims]


def _judge(claim: Claim, results: ResultsTable, spectra: checks.Spectra) -> ClaimResult:
    sentence = f"{claim.sentence} [{results.data}]"
    recorded = _RecordingTable(results.table, results.data, results.values)
    try:
        holds, seen = getattr(checks, claim.check)(recorded, spectra, **claim.arguments)
    except NotMeasuredError:
        return ClaimResult(sentence, None, "not measured")
    return ClaimResult(sentence, holds, f"{seen} ({'seed 0' if claim.of_spectra else count_seeds(recorded.used)})")


class _RecordingTable(ResultsTable):
    """A table that records which of its values a check uses: the seeds of a claim are those of these values."""

    @functools.cached_property
    def used(self) -> list[Value]:
        """Values in the order of their use."""
        return []

    def value(self, row: str, column: str) -> Value:
        """Return and record the value of a row and a column."""
        found = super().value(row, column)
        self.used.append(found)
        return found


def count_seeds(values: Iterable[Value]) -> str:
    """Return the number of seeds of some values as text.

    >>> count_seeds([Value(None, (1.0,)), Value(None, (1.0, 2.0))])
    '1 to 2 seeds'
    """
    counts = sorted({len(value.ours) for value in values}) or [0]
    words = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return f"{words} seed{'' if counts[-1] == 1 else 's'}"
