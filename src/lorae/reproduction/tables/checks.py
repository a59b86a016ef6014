"""Checks of the paper's claims on the numbers of a table. Imports no torch."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from lorae.reports.formatting import mean_and_deviation
from lorae.reproduction.tables.results import ResultsTable, Value

Spectra = Mapping[str, Sequence[float]]
# Whether a claim holds (None: not measured), and the numbers that decide it.
Outcome = tuple[bool | None, str]
# Results of a table and spectra of its rows -> outcome.
Check = Callable[[ResultsTable, Spectra], Outcome]

NOT_MEASURED: Outcome = (None, "not measured")

# Values that the paper calls similar: within a tenth of a distance, within a hundredth of the test images.
SIMILAR_DISTANCE, SIMILAR_ACCURACY = 0.1, 1.0

# The decay of a spectrum is measured between these shares of its largest eigenvalue. A decay is not gradual if an
# eigenvalue in this range is more than CLIFF times the next one. Shares below ROUNDING are noise of float32 and count
# as ROUNDING.
FALL, RANK_TOLERANCE, CLIFF, ROUNDING = (1e-1, 1e-4), 1e-3, 10.0, 1e-10


def list_values(values: Mapping[str, Value]) -> str:
    """Return the values of rows, each after the name of its row."""
    return ", ".join(f"{row} {mean_and_deviation(value.ours)}" for row, value in values.items())


def beats(row: str, others: Sequence[str], columns: Sequence[str] = ()) -> Check:
    """Check that a row is better than all others in the named columns, by default in all with a better end."""

    def check(results: ResultsTable, _: Spectra) -> Outcome:
        chosen = [column for column in results.columns if column.better and (column.name in columns or not columns)]
        assert chosen, f"{results.table.name} has none of the columns {columns}"
        wrong, seen = [], []
        for column in chosen:
            ours = results.value(row, column.name)
            rivals = {other: results.value(other, column.name) for other in others}
            if ours.mean is None or any(rival.mean is None for rival in rivals.values()):
                return NOT_MEASURED
            for name, rival in rivals.items():
                assert rival.mean is not None
                if not (ours.mean < rival.mean if column.better == "lower" else ours.mean > rival.mean):
                    wrong.append(f"{name} in {column.title}")
            seen.append(f"{column.title}: {list_values({row: ours, **rivals})}")
        ending = f"; not against {', '.join(wrong)}" if wrong else ""
        return not wrong, "; ".join(seen) + ending

    return check


def all_but_one_best(row: str, rival: str, exception: tuple[str, str]) -> Check:
    """Check that a row is the best of the paper's, and in one column of one data set second after a rival."""

    def check(results: ResultsTable, spectra: Spectra) -> Outcome:
        data, column = exception
        others = [system.name for system in results.rows if system.paper and system.name != row]
        names = [found.name for found in results.columns if (results.data, found.name) != (data, column)]
        checks = [beats(row, others, names)]
        if results.data == data:
            beaten = [other for other in others if other != rival]
            checks += [beats(rival, [row], [column]), beats(row, beaten, [column])]
        outcomes = [check(results, spectra) for check in checks]
        if any(holds is None for holds, _ in outcomes):
            return NOT_MEASURED
        return all(holds for holds, _ in outcomes), "; ".join(seen for _, seen in outcomes)

    return check


def close_to_best(row: str, columns: Sequence[str]) -> Check:
    """Check that the accuracy of a row is within a percentage point of the best of the paper's rows."""

    def check(results: ResultsTable, _: Spectra) -> Outcome:
        outcomes, seen = [], []
        for column in (found for found in results.columns if found.name in columns):
            values = {system.name: results.value(system.name, column.name) for system in results.rows if system.paper}
            means = {name: value.mean for name, value in values.items() if value.mean is not None}
            if len(means) < len(values):
                return NOT_MEASURED
            outcomes.append(max(means.values()) - means[row] <= SIMILAR_ACCURACY)
            seen.append(f"{column.title} labels: {list_values(values)}")
        return all(outcomes), "; ".join(seen)

    return check


def _by_weight(results: ResultsTable, column: str) -> tuple[list[float], str] | None:
    """Return the means in ascending order of the weights, which are the rows, and as text; None if one is missing."""
    rows = sorted((row.name for row in results.rows), key=float)
    values = [results.value(row, column) for row in rows]
    means = [value.mean for value in values if value.mean is not None]
    words = ", ".join(f"{mean_and_deviation(value.ours)} at {row}" for row, value in zip(rows, values, strict=True))
    return (means, words) if len(means) == len(rows) else None


def rank_falls(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that the rank is smaller at every larger weight."""
    found = _by_weight(results, "rank")
    if found is None:
        return NOT_MEASURED
    means, words = found
    return all(earlier > later for earlier, later in pairwise(means)), f"rank {words}"


def minimum_inside(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that the distance is smallest at a weight that is neither the smallest nor the largest."""
    found = _by_weight(results, "mixture")
    if found is None:
        return NOT_MEASURED
    means, words = found
    return min(means) < min(means[0], means[-1]), f"distance {words}"


def wide_is_better(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that from 256 coordinates on LoRAE is better than the plain autoencoder of the same width."""
    return beats("LoRAE", ["AE"], _wide(results))(results, {})


def wide_beats_best_width(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that from 256 coordinates on LoRAE is better than the plain autoencoder at its best width."""
    ours = {name: results.value("LoRAE", name) for name in _wide(results)}
    rivals = {column.name: results.value("AE", column.name) for column in results.columns}
    means = [[value.mean for value in values.values() if value.mean is not None] for values in (ours, rivals)]
    if len(means[0]) < len(ours) or len(means[1]) < len(rivals):
        return NOT_MEASURED
    return max(means[0]) < min(means[1]), f"LoRAE: {list_values(ours)}; AE: {list_values(rivals)}"


def _wide(results: ResultsTable) -> list[str]:
    return [column.name for column in results.columns if int(column.title) >= 256]


def plateaus(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that from 256 to 1,024 coordinates LoRAE changes by at most a tenth, and the plain autoencoder by more."""
    changes, seen = {}, []
    for row in ("LoRAE", "AE"):
        narrow, wide = results.value(row, "l=256"), results.value(row, "l=1024")
        if narrow.mean is None or wide.mean is None:
            return NOT_MEASURED
        changes[row] = wide.mean / narrow.mean - 1
        means = f"{mean_and_deviation(narrow.ours)} at 256, {mean_and_deviation(wide.ours)} at 1,024"
        seen.append(f"{row} {means}, {changes[row]:+.0%}")
    return abs(changes["LoRAE"]) <= SIMILAR_DISTANCE < changes["AE"], "; ".join(seen)


def not_the_worst(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that LoRAE is better than the worst of the other models and within a quarter of the best."""
    values = {row.name: results.value(row.name, "own") for row in results.rows}
    means = {name: value.mean for name, value in values.items() if value.mean is not None}
    if len(means) < len(values):
        return NOT_MEASURED
    ours = means.pop("LoRAE")
    return min(means.values()) * 1.25 >= ours and ours < max(means.values()), list_values(values)


def ranks(smaller: str, larger: str, factor: float = 1.0) -> Check:
    """Check that the rank of one row is below `factor` times that of another."""

    def check(results: ResultsTable, _: Spectra) -> Outcome:
        first, second = results.value(smaller, "rank"), results.value(larger, "rank")
        if first.mean is None or second.mean is None:
            return NOT_MEASURED
        return first.mean < factor * second.mean, list_values({smaller: first, larger: second})

    return check


def decays_gradually(_: ResultsTable, spectra: Spectra) -> Outcome:
    """Check that LoRAE's spectrum falls over a larger share of its rank than IRMAE's, and without a cliff."""
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
    """Return the number of eigenvalues in FALL, the rank, and the largest ratio of one above FALL[1] to the next."""
    values = sorted(eigenvalues, reverse=True)
    shares = [max(value / values[0], ROUNDING) for value in values]
    upper, rank, lower = (
        sum(share > tolerance for share in shares) for tolerance in (FALL[0], RANK_TOLERANCE, FALL[1])
    )
    return lower - upper, rank, max(above / below for above, below in pairwise(shares) if above > FALL[1])


def small_and_even(row: str) -> Check:
    """Check that a row has the same rank at tolerances 1e-3 and 1e-6."""

    def check(_: ResultsTable, spectra: Spectra) -> Outcome:
        if row not in spectra:
            return NOT_MEASURED
        values = spectra[row]
        if max(values) <= 0:
            return False, f"all latents of {row} are the same"
        found = [sum(value > tolerance * max(values) for value in values) for tolerance in (1e-3, 1e-6)]
        return found[0] == found[1], f"{row} {found[0]} at 1e-3 and {found[1]} at 1e-6"

    return check


def no_worse_than(row: str, other: str) -> Check:
    """Check that the distance of one row is at most a tenth above that of another."""

    def check(results: ResultsTable, _: Spectra) -> Outcome:
        first, second = results.value(row, "midpoints"), results.value(other, "midpoints")
        if first.mean is None or second.mean is None:
            return NOT_MEASURED
        return first.mean <= (1 + SIMILAR_DISTANCE) * second.mean, list_values({row: first, other: second})

    return check
