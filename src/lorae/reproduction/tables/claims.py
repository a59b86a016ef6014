"""The paper's claims about its tables and figures, each with its check on our numbers. Imports no torch."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from lorae.reproduction.pages.blocks import ClaimResult
from lorae.reproduction.tables import checks
from lorae.reproduction.tables.checks import Check, Spectra, beats
from lorae.reproduction.tables.results import ResultsTable, Value


@dataclass(frozen=True)
class Claim:
    """A claim of the paper in plain words, with its section, and its check.

    check: decides whether it holds on one data set
    of_spectra: whether the check uses the spectra alone, which are those of seed 0
    rows: rows that are not in the paper and that the claim is about; it is skipped on data sets without them
    """

    sentence: str
    check: Check
    of_spectra: bool = False
    rows: tuple[str, ...] = ()


def judge_claims(results: ResultsTable, spectra: Spectra) -> list[ClaimResult]:
    """Check the claims about a table on one data set, by the means over the seeds."""
    rows = {row.name for row in results.rows}
    found = []
    for claim in CLAIMS.get(results.table.name, ()):
        if not rows.issuperset(claim.rows):
            continue
        recorded = _RecordingTable(results.table, results.data, results.values)
        holds, seen = claim.check(recorded, spectra)
        if holds is not None:
            seen += f" ({'seed 0' if claim.of_spectra else count_seeds(recorded.used)})"
        found.append(ClaimResult(f"{claim.sentence} [{results.data}]", holds, seen))
    return found


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


# Rows that are not in the paper: rivals with settings chosen on held-out digits, and LoRAE+ with a given rank.
TUNED_VAE, TUNED_IRMAE, EXACT = "VAE, weight 0.1", "IRMAE, 4 matrices", "LoRAE+, rank 12"

FEW_LABELS = tuple(
    Claim(
        f"With 10, 100 and 1,000 labels LoRAE's latents classify better than {words} (section 4.3)",
        beats("LoRAE", [other], ["10", "100", "1000"]),
    )
    for other, words in (("AE", "AE's"), ("VAE", "VAE's"), ("Supervised", "training from the images does"))
)

CLAIMS: dict[str, tuple[Claim, ...]] = {
    "table3": (
        *(
            Claim(f"LoRAE samples better than {other}, under both densities (section 4.2.2)", beats("LoRAE", [other]))
            for other in ("AE", "VAE", "IRMAE")
        ),
        Claim(
            "Not in the paper: LoRAE samples better than VAE and IRMAE with settings chosen on held-out digits",
            beats("LoRAE", [TUNED_VAE, TUNED_IRMAE]),
            rows=(TUNED_VAE, TUNED_IRMAE),
        ),
        Claim(
            "Not in the paper: LoRAE+ samples better than AE, VAE, IRMAE and LoRAE",
            beats(EXACT, ["AE", "VAE", "IRMAE", "LoRAE"]),
            rows=(EXACT,),
        ),
        Claim(
            "Not in the paper: LoRAE+ samples better than VAE and IRMAE with settings chosen on held-out digits",
            beats(EXACT, [TUNED_VAE, TUNED_IRMAE]),
            rows=(EXACT, TUNED_VAE, TUNED_IRMAE),
        ),
    ),
    "table4": (
        Claim(
            "LoRAE samples better than WAE and RAE, except that RAE is better by MVG on CelebA (section 4.2.3)",
            checks.all_but_one_best("LoRAE", "RAE", ("celeba", "gaussian")),
        ),
    ),
    "table5": (
        Claim(
            "LoRAE samples about as well as established generative models or better: better than the worst, and "
            "within a quarter of the best (section 4.2.3)",
            checks.not_the_worst,
        ),
    ),
    "table6": (
        *FEW_LABELS,
        Claim(
            "With 10,000 and 60,000 labels LoRAE's accuracy is within a percentage point of the best (section 4.3)",
            checks.close_to_best("LoRAE", ["10000", "all"]),
        ),
        Claim(
            "Not in the paper: with 10, 100 and 1,000 labels LoRAE+'s latents classify better than AE's, VAE's and "
            "training from the images",
            beats(EXACT, ["AE", "VAE", "Supervised"], ["10", "100", "1000"]),
            rows=(EXACT,),
        ),
        Claim(
            "Not in the paper: with 10, 100 and 1,000 labels LoRAE+'s latents classify better than VAE's with the "
            "weight chosen on held-out digits",
            beats(EXACT, [TUNED_VAE], ["10", "100", "1000"]),
            rows=(EXACT, TUNED_VAE),
        ),
    ),
    "table6-authors": FEW_LABELS,
    "table7": (
        Claim("The rank falls with the penalty's weight (section 4.4.1)", checks.rank_falls),
        Claim("The best samples are at a weight inside the range (section 4.4.1)", checks.minimum_inside),
    ),
    "table8": (
        Claim(
            "At 256 coordinates and more LoRAE samples better than AE of the same width (section 4.4.2)",
            checks.wide_is_better,
        ),
        Claim(
            "At 256 coordinates and more LoRAE samples better than AE at its best width (section 4.4.2)",
            checks.wide_beats_best_width,
        ),
        Claim(
            "From 256 to 1,024 coordinates LoRAE changes by at most a tenth, and AE gets worse by more (section 4.4.2)",
            checks.plateaus,
        ),
    ),
    "figure2": (
        Claim(
            "LoRAE's rank is considerably smaller than AE's, less than half (section 4.1)",
            checks.ranks("LoRAE", "AE", 0.5),
        ),
        Claim("IRMAE's rank is smaller than LoRAE's (section 4.1)", checks.ranks("IRMAE", "LoRAE")),
        Claim("LoRAE's spectrum decays gradually, IRMAE's drops sharply (section 4.1)", checks.decays_gradually, True),
        Claim(
            "Not in the paper: the rank of LoRAE+ is the same at 1e-3 and at 1e-6",
            checks.small_and_even(EXACT),
            True,
            (EXACT,),
        ),
    ),
    "figure3": (
        Claim("LoRAE interpolates better than AE (section 4.2.1)", beats("LoRAE", ["AE"])),
        Claim(
            "LoRAE interpolates better than VAE, or as well within a tenth (section 4.2.1)",
            checks.no_worse_than("LoRAE", "VAE"),
        ),
        Claim("LoRAE interpolates better than IRMAE (section 4.2.1)", beats("LoRAE", ["IRMAE"])),
    ),
}
