"""Checks of the paper's claims on the numbers of a table. Imports no torch.

A check takes the results of a table on one data set, the spectra of its rows, and the arguments of its claim. It
returns whether the claim holds and the numbers that decide this, and raises NotMeasuredError if one of them is missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from lorae.reproduction.tables.results import NotMeasuredError, ResultsTable

Spectra = Mapping[str, Sequence[float]]
Outcome = tuple[bool, str]

# Values that the paper calls similar: within a tenth of a distance, within a hundredth of the test images.
SIMILAR_DISTANCE, SIMILAR_ACCURACY = 0.1, 1.0

# The decay of a spectrum is measured between these shares of its largest eigenvalue. A decay is not gradual if an
# eigenvalue in this range is more than CLIFF times the next one. Shares below ROUNDING are noise of float32 and count
# as ROUNDING.
FALL, RANK_TOLERANCE, CLIFF, ROUNDING = (1e-1, 1e-4), 1e-3, 10.0, 1e-10


def _list_values(results: ResultsTable, rows: Iterable[str], column: str) -> str:
    """Return the values of rows as text, each after the name of its row."""
    return ", ".join(f"{row} {results.text(row, column)}" for row in rows)


def beats(results: ResultsTable, _: Spectra, row: str, others: Sequence[str], columns: Sequence[str] = ()) -> Outcome:
    """Check that a row is better than all others in the named columns, by default in all with a better end."""
    chosen = [column for column in results.columns if column.better and (column.name in columns or not columns)]
    assert chosen, f"{results.table.name} has none of the columns {columns}"
    wrong, seen = [], []
    for column in chosen:
        means = results.means([row, *others], column.name)
        sign = 1 if column.better == "lower" else -1
        wrong += [f"{name} in {column.title}" for name in others if sign * means[row] >= sign * means[name]]
        seen.append(f"{column.title}: {_list_values(results, means, column.name)}")
    ending = f"; not against {', '.join(wrong)}" if wrong else ""
    return not wrong, "; ".join(seen) + ending


def all_but_one_best(results: ResultsTable, _: Spectra, row: str, rival: str, data: str, column: str) -> Outcome:
    """Check that a row is the best of the paper's, and in one column of one data set second after a rival."""
    others = [system.name for system in results.rows if system.paper and system.name != row]
    names = [found.name for found in results.columns if (results.data, found.name) != (data, column)]
    outcomes = [beats(results, {}, row, others, names)]
    if results.data == data:
        outcomes.append(beats(results, {}, rival, [row], [column]))
        outcomes.append(beats(results, {}, row, [other for other in others if other != rival], [column]))
    return all(holds for holds, _ in outcomes), "; ".join(seen for _, seen in outcomes)


def close_to_best(results: ResultsTable, _: Spectra, row: str, columns: Sequence[str]) -> Outcome:
    """Check that the accuracy of a row is within a percentage point of the best of the paper's rows."""
    rows = [system.name for system in results.rows if system.paper]
    outcomes, seen = [], []
    for column in (found for found in results.columns if found.name in columns):
        means = results.means(rows, column.name)
        outcomes.append(max(means.values()) - means[row] <= SIMILAR_ACCURACY)
        seen.append(f"{column.title} labels: {_list_values(results, rows, column.name)}")
    return all(outcomes), "; ".join(seen)


def _by_weight(results: ResultsTable, column: str) -> tuple[list[float], str]:
    """Return the means in ascending order of the weights, which are the rows, and as text."""
    rows = sorted((row.name for row in results.rows), key=float)
    words = ", ".join(f"{results.text(row, column)} at {row}" for row in rows)
    return list(results.means(rows, column).values()), words


def rank_falls(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that the rank is smaller at every larger weight."""
    means, words = _by_weight(results, "rank")
    return all(earlier > later for earlier, later in pairwise(means)), f"rank {words}"


def minimum_inside(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that the distance is smallest at a weight that is neither the smallest nor the largest."""
    means, words = _by_weight(results, "mixture")
    return min(means) < min(means[0], means[-1]), f"distance {words}"


def wide_beats_best_width(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that from 256 coordinates on LoRAE is better than the plain autoencoder at its best width."""
    names = [column.name for column in results.columns]
    columns = {"LoRAE": [name for name in names if int(name.removeprefix("l=")) >= 256], "AE": names}
    means = {row: [results.means([row], name)[row] for name in names] for row, names in columns.items()}
    seen = []
    for row, names in columns.items():
        values = [f"{name} {results.text(row, name)}" for name in names]
        seen.append(f"{row}: {', '.join(values)}")
    return max(means["LoRAE"]) < min(means["AE"]), "; ".join(seen)


def plateaus(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that from 256 to 1,024 coordinates LoRAE changes by at most a tenth, and the plain autoencoder by more."""
    rows = ("LoRAE", "AE")
    narrow, wide = results.means(rows, "l=256"), results.means(rows, "l=1024")
    changes = {row: wide[row] / narrow[row] - 1 for row in rows}
    seen = []
    for row in rows:
        first, last = (results.text(row, column) for column in ("l=256", "l=1024"))
        seen.append(f"{row} {first} at 256, {last} at 1,024, {changes[row]:+.0%}")
    return abs(changes["LoRAE"]) <= SIMILAR_DISTANCE < changes["AE"], "; ".join(seen)


def not_the_worst(results: ResultsTable, _: Spectra) -> Outcome:
    """Check that LoRAE is better than the worst of the other models and within a quarter of the best."""
    means = results.means([row.name for row in results.rows], "own")
    words = _list_values(results, means, "own")
    ours = means.pop("LoRAE")
    return min(means.values()) * 1.25 >= ours and ours < max(means.values()), words


def is_below(results: ResultsTable, _: Spectra, row: str, other: str, column: str, factor: float) -> Outcome:
    """Check that one row is below `factor` times another in a column."""
    means = results.means((row, other), column)
    return means[row] < factor * means[other], _list_values(results, means, column)


def decays_gradually(_: ResultsTable, spectra: Spectra) -> Outcome:
    """Check that LoRAE's spectrum falls over a larger share of its rank than IRMAE's, and without a cliff."""
    rows = ("LoRAE", "IRMAE")
    if not spectra.keys() >= {*rows}:
        raise NotMeasuredError
    collapsed = [row for row in rows if max(spectra[row]) <= 0]
    if collapsed:
        return False, f"all latents of {' and '.join(collapsed)} are the same"
    falls = {row: _fall(spectra[row]) for row in rows}
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


def small_and_even(_: ResultsTable, spectra: Spectra, row: str) -> Outcome:
    """Check that a row has the same rank at tolerances 1e-3 and 1e-6."""
    if row not in spectra:
        raise NotMeasuredError
    values = spectra[row]
    if max(values) <= 0:
        return False, f"all latents of {row} are the same"
    found = [sum(value > tolerance * max(values) for value in values) for tolerance in (1e-3, 1e-6)]
    return found[0] == found[1], f"{row} {found[0]} at 1e-3 and {found[1]} at 1e-6"
