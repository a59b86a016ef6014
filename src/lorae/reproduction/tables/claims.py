"""What the paper claims of its tables and figures, each with a check on our numbers. Imports no torch."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lorae.reproduction.pages.blocks import ClaimResult, averaged
from lorae.reproduction.tables.results import ResultsTable, Value

Spectra = Mapping[str, Sequence[float]]
# Whether a claim holds in a filled table, with the spectra of its rows, and the numbers that say so.
LossOutput = tuple[bool | None, str]
Check = Callable[[ResultsTable, Spectra], LossOutput]

NOT_MEASURED: LossOutput = (None, "not measured")

# Where the paper calls values similar: a tenth of a distance, a hundredth of the test images.
SIMILAR_DISTANCE, SIMILAR_ACCURACY = 0.1, 1.0

# Between these shares of the largest eigenvalue a spectrum is looked at. An eigenvalue in there that is more than CLIFF
# times the next one stands before a cliff: no gradual decay. Shares below ROUNDING are noise of float32: they count as
# ROUNDING.
FALL, RANK_TOLERANCE, CLIFF, ROUNDING = (1e-1, 1e-4), 1e-3, 10.0, 1e-10


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper in plain words, with its section, and the check on a data set's table.

    of_spectra: the check is of spectra alone, which are those of seed 0. rows: those of ours that it is about; without
    them there is no such claim on a data set.
    """

    sentence: str
    check: Check
    of_spectra: bool = False
    rows: tuple[str, ...] = ()


def verdicts(filled: ResultsTable, spectra: Spectra) -> list[ClaimResult]:
    """The claims about a table, checked on one data set by the means over the seeds."""
    rows = {row.name for row in filled.rows}
    found = []
    for claim in CLAIMS.get(filled.table.name, ()):
        if not rows.issuperset(claim.rows):
            continue
        watched = _Watched(filled.table, filled.data, filled.values)
        holds, seen = claim.check(watched, spectra)
        if holds is not None:
            seen += f" ({'seed 0' if claim.of_spectra else count_seeds(watched.looked_at)})"
        found.append(ClaimResult(f"{claim.sentence} [{filled.data}]", holds, seen))
    return found


class _Watched(ResultsTable):
    """A table that remembers which of its values a check has looked at: the seeds of a claim are theirs."""

    @functools.cached_property
    def looked_at(self) -> list[Value]:
        """The values, in the order in which they were asked for."""
        return []

    def value(self, row: str, column: str) -> Value:
        """One cell, by the names of its row and column."""
        found = super().value(row, column)
        self.looked_at.append(found)
        return found


def count_seeds(values: Iterable[Value]) -> str:
    """How many seeds values are of.

    >>> count_seeds([Value(None, (1.0,)), Value(None, (1.0, 2.0))])
    '1 to 2 seeds'
    """
    counts = sorted({len(value.ours) for value in values}) or [0]
    words = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return f"{words} seed{'' if counts[-1] == 1 else 's'}"


def listed(values: Mapping[str, Value]) -> str:
    """The values of rows beside their names."""
    return ", ".join(f"{row} {averaged(value.ours)}" for row, value in values.items())


def beats(row: str, others: Sequence[str], columns: Sequence[str] = ()) -> Check:
    """The row is better than all others in the named columns, or in all that compare."""

    def check(filled: ResultsTable, _: Spectra) -> LossOutput:
        chosen = [column for column in filled.columns if column.better and (column.name in columns or not columns)]
        assert chosen, f"{filled.table.name} has none of the columns {columns}"
        wrong, seen = [], []
        for column in chosen:
            ours = filled.value(row, column.name)
            rivals = {other: filled.value(other, column.name) for other in others}
            if ours.mean is None or any(rival.mean is None for rival in rivals.values()):
                return NOT_MEASURED
            for name, rival in rivals.items():
                assert rival.mean is not None
                if not (ours.mean < rival.mean if column.better == "lower" else ours.mean > rival.mean):
                    wrong.append(f"{name} in {column.title}")
            seen.append(f"{column.title}: {listed({row: ours, **rivals})}")
        ending = f"; not against {', '.join(wrong)}" if wrong else ""
        return not wrong, "; ".join(seen) + ending

    return check


def all_but_one_best(row: str, rival: str, exception: tuple[str, str]) -> Check:
    """The row is the best of the paper's in every column, but on one data set in one the second, after the rival."""

    def check(filled: ResultsTable, spectra: Spectra) -> LossOutput:
        data, column = exception
        others = [system.name for system in filled.rows if system.paper and system.name != row]
        names = [found.name for found in filled.columns if (filled.data, found.name) != (data, column)]
        checks = [beats(row, others, names)]
        if filled.data == data:
            beaten = [other for other in others if other != rival]
            checks += [beats(rival, [row], [column]), beats(row, beaten, [column])]
        outcomes = [check(filled, spectra) for check in checks]
        if any(holds is None for holds, _ in outcomes):
            return NOT_MEASURED
        return all(holds for holds, _ in outcomes), "; ".join(seen for _, seen in outcomes)

    return check


def close_to_best(row: str, columns: Sequence[str]) -> Check:
    """The accuracy is within a percentage point of the best of the paper's rows."""

    def check(filled: ResultsTable, _: Spectra) -> LossOutput:
        outcomes, seen = [], []
        for column in (found for found in filled.columns if found.name in columns):
            values = {system.name: filled.value(system.name, column.name) for system in filled.rows if system.paper}
            means = {name: value.mean for name, value in values.items() if value.mean is not None}
            if len(means) < len(values):
                return NOT_MEASURED
            outcomes.append(max(means.values()) - means[row] <= SIMILAR_ACCURACY)
            seen.append(f"{column.title} labels: {listed(values)}")
        return all(outcomes), "; ".join(seen)

    return check


def _by_weight(filled: ResultsTable, column: str) -> tuple[list[float], str] | None:
    """The means in ascending order of the weights, which are the rows, and in words; None where one is missing."""
    rows = sorted((row.name for row in filled.rows), key=float)
    values = [filled.value(row, column) for row in rows]
    means = [value.mean for value in values if value.mean is not None]
    words = ", ".join(f"{averaged(value.ours)} at {row}" for row, value in zip(rows, values, strict=True))
    return (means, words) if len(means) == len(rows) else None


def rank_falls(filled: ResultsTable, _: Spectra) -> LossOutput:
    """The rank is smaller at every larger weight."""
    found = _by_weight(filled, "rank")
    if found is None:
        return NOT_MEASURED
    means, words = found
    return all(earlier > later for earlier, later in pairwise(means)), f"rank {words}"


def minimum_inside(filled: ResultsTable, _: Spectra) -> LossOutput:
    """The distance is smallest at a weight that is neither the smallest nor the largest."""
    found = _by_weight(filled, "mixture")
    if found is None:
        return NOT_MEASURED
    means, words = found
    return min(means) < min(means[0], means[-1]), f"distance {words}"


def wide_is_better(filled: ResultsTable, _: Spectra) -> LossOutput:
    """From 256 coordinates on LoRAE is better than the plain autoencoder of the same width."""
    return beats("LoRAE", ["AE"], _wide(filled))(filled, {})


def wide_beats_best_width(filled: ResultsTable, _: Spectra) -> LossOutput:
    """From 256 coordinates on LoRAE is better than the plain autoencoder of whichever width is best for that."""
    ours = {name: filled.value("LoRAE", name) for name in _wide(filled)}
    rivals = {column.name: filled.value("AE", column.name) for column in filled.columns}
    means = [[value.mean for value in values.values() if value.mean is not None] for values in (ours, rivals)]
    if len(means[0]) < len(ours) or len(means[1]) < len(rivals):
        return NOT_MEASURED
    return max(means[0]) < min(means[1]), f"LoRAE: {listed(ours)}; AE: {listed(rivals)}"


def _wide(filled: ResultsTable) -> list[str]:
    return [column.name for column in filled.columns if int(column.title) >= 256]


def plateaus(filled: ResultsTable, _: Spectra) -> LossOutput:
    """From 256 to 1,024 coordinates LoRAE changes by a tenth at most, and the plain autoencoder by more."""
    changes, seen = {}, []
    for row in ("LoRAE", "AE"):
        narrow, wide = filled.value(row, "l=256"), filled.value(row, "l=1024")
        if narrow.mean is None or wide.mean is None:
            return NOT_MEASURED
        changes[row] = wide.mean / narrow.mean - 1
        seen.append(f"{row} {averaged(narrow.ours)} at 256, {averaged(wide.ours)} at 1,024, {changes[row]:+.0%}")
    return abs(changes["LoRAE"]) <= SIMILAR_DISTANCE < changes["AE"], "; ".join(seen)


def not_the_worst(filled: ResultsTable, _: Spectra) -> LossOutput:
    """LoRAE is better than the worst of the other models, and within a quarter of the best."""
    values = {row.name: filled.value(row.name, "own") for row in filled.rows}
    means = {name: value.mean for name, value in values.items() if value.mean is not None}
    if len(means) < len(values):
        return NOT_MEASURED
    ours = means.pop("LoRAE")
    return min(means.values()) * 1.25 >= ours and ours < max(means.values()), listed(values)


def ranks(smaller: str, larger: str, factor: float = 1.0) -> Check:
    """The rank of one row is below `factor` times that of another."""

    def check(filled: ResultsTable, _: Spectra) -> LossOutput:
        first, second = filled.value(smaller, "rank"), filled.value(larger, "rank")
        if first.mean is None or second.mean is None:
            return NOT_MEASURED
        return first.mean < factor * second.mean, f"{smaller} {averaged(first.ours)}, {larger} {averaged(second.ours)}"

    return check


def decays_gradually(_: ResultsTable, spectra: Spectra) -> LossOutput:
    """LoRAE's spectrum falls over a larger share of its rank than IRMAE's, and without a cliff of its own."""
    if not {"LoRAE", "IRMAE"} <= set(spectra):
        return NOT_MEASURED
    collapsed = [row for row in ("LoRAE", "IRMAE") if max(spectra[row]) <= 0]
    if collapsed:
        return False, f"all latents of {' and '.join(collapsed)} are the same"
    falls = {row: _fall(spectra[row]) for row in ("LoRAE", "IRMAE")}
    words = "; ".join(
        f"{row} over {directions}, its rank being {rank}, and in one step by a factor of {step:,.1f}"
        for row, (directions, rank, step) in falls.items()
    )
    shares = {row: directions / rank for row, (directions, rank, _) in falls.items()}
    gradual = shares["LoRAE"] > shares["IRMAE"] and falls["LoRAE"][2] <= CLIFF
    return gradual, f"directions over which it falls from a tenth to a ten-thousandth of the largest: {words}"


def _fall(eigenvalues: Sequence[float]) -> tuple[int, int, float]:
    """How many eigenvalues lie in FALL, the rank, and the largest ratio of neighbours.

    Of neighbours the larger one is above the lower end of FALL; how far below it the smaller one is counts in full.
    """
    values = sorted(eigenvalues, reverse=True)
    shares = [max(value / values[0], ROUNDING) for value in values]
    upper, rank, lower = (
        sum(share > tolerance for share in shares) for tolerance in (FALL[0], RANK_TOLERANCE, FALL[1])
    )
    return lower - upper, rank, max(above / below for above, below in pairwise(shares) if above > FALL[1])


def small_and_even(row: str) -> Check:
    """A row has the same rank at tolerances that are a thousandfold apart."""

    def check(_: ResultsTable, spectra: Spectra) -> LossOutput:
        if row not in spectra:
            return NOT_MEASURED
        values = spectra[row]
        if max(values) <= 0:
            return False, f"all latents of {row} are the same"
        found = [sum(value > tolerance * max(values) for value in values) for tolerance in (1e-3, 1e-6)]
        return found[0] == found[1], f"{row} {found[0]} at 1e-3 and {found[1]} at 1e-6"

    return check


def no_worse_than(row: str, other: str) -> Check:
    """The distance of one row is at most a tenth above that of another."""

    def check(filled: ResultsTable, _: Spectra) -> LossOutput:
        first, second = filled.value(row, "midpoints"), filled.value(other, "midpoints")
        if first.mean is None or second.mean is None:
            return NOT_MEASURED
        limit = (1 + SIMILAR_DISTANCE) * second.mean
        return first.mean <= limit, f"{row} {averaged(first.ours)}, {other} {averaged(second.ours)}"

    return check


# Rows of ours: the rivals with what was chosen for them on held-out digits, and the rank that can be asked for.
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
            "Not in the paper: LoRAE samples better than VAE and IRMAE as chosen on held-out digits",
            beats("LoRAE", [TUNED_VAE, TUNED_IRMAE]),
            rows=(TUNED_VAE, TUNED_IRMAE),
        ),
        Claim(
            "Not in the paper: LoRAE+ samples better than AE, VAE, IRMAE and LoRAE",
            beats(EXACT, ["AE", "VAE", "IRMAE", "LoRAE"]),
            rows=(EXACT,),
        ),
        Claim(
            "Not in the paper: LoRAE+ samples better than VAE and IRMAE as chosen on held-out digits",
            beats(EXACT, [TUNED_VAE, TUNED_IRMAE]),
            rows=(EXACT, TUNED_VAE, TUNED_IRMAE),
        ),
    ),
    "table4": (
        Claim(
            "LoRAE samples better than WAE and RAE, but for MVG on CelebA, where RAE does (section 4.2.3)",
            all_but_one_best("LoRAE", "RAE", ("celeba", "gaussian")),
        ),
    ),
    "table5": (
        Claim(
            "LoRAE samples at least about as well as established generative models: better than the worst of them, and "
            "within a quarter of the best (section 4.2.3)",
            not_the_worst,
        ),
    ),
    "table6": (
        *FEW_LABELS,
        Claim(
            "With 10,000 and 60,000 labels they are about as good: within a percentage point of the best (section 4.3)",
            close_to_best("LoRAE", ["10000", "all"]),
        ),
        Claim(
            "Not in the paper: with 10, 100 and 1,000 labels LoRAE+'s latents classify better than AE's, VAE's and "
            "training from the images",
            beats(EXACT, ["AE", "VAE", "Supervised"], ["10", "100", "1000"]),
            rows=(EXACT,),
        ),
        Claim(
            "Not in the paper: with as many labels LoRAE+'s latents classify better than those of VAE as chosen on "
            "held-out digits",
            beats(EXACT, [TUNED_VAE], ["10", "100", "1000"]),
            rows=(EXACT, TUNED_VAE),
        ),
    ),
    "table6-authors": FEW_LABELS,
    "table7": (
        Claim("The rank falls with the penalty's weight (section 4.4.1)", rank_falls),
        Claim("The best samples are at a weight inside the range (section 4.4.1)", minimum_inside),
    ),
    "table8": (
        Claim("At 256 coordinates and more LoRAE samples better than AE as wide (section 4.4.2)", wide_is_better),
        Claim("There it samples better than AE at its best width, too (section 4.4.2)", wide_beats_best_width),
        Claim(
            "With wider latents LoRAE stays as it is, within a tenth, and AE gets worse (section 4.4.2)",
            plateaus,
        ),
    ),
    "figure2": (
        Claim(
            "LoRAE takes a considerably smaller latent space than AE, less than half (section 4.1)",
            ranks("LoRAE", "AE", 0.5),
        ),
        Claim("IRMAE takes a still smaller one (section 4.1)", ranks("IRMAE", "LoRAE")),
        Claim("LoRAE's spectrum decays gradually, IRMAE's drops sharply (section 4.1)", decays_gradually, True),
        Claim(
            "Not in the paper: the rank of LoRAE+ is the same at 1e-3 and at 1e-6",
            small_and_even(EXACT),
            True,
            (EXACT,),
        ),
    ),
    "figure3": (
        Claim("LoRAE interpolates better than AE (section 4.2.1)", beats("LoRAE", ["AE"])),
        Claim(
            "LoRAE interpolates as well as VAE, within a tenth, or better (section 4.2.1)",
            no_worse_than("LoRAE", "VAE"),
        ),
        Claim("LoRAE interpolates better than IRMAE (section 4.2.1)", beats("LoRAE", ["IRMAE"])),
    ),
}
