"""What the paper claims of its tables and figures, each with a check on our numbers. Imports no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lorae.paper.filled import FilledTable, Value
from lorae.paper.page import Verdict

Spectra = Mapping[str, Sequence[float]]
# Whether a claim holds in a filled table, with the spectra of its rows, and the numbers that say so.
Outcome = tuple[bool | None, str]
Check = Callable[[FilledTable, Spectra], Outcome]

NOT_MEASURED: Outcome = (None, "not measured")

# Where the paper calls values similar: a tenth of a distance, a hundredth of the test images.
SIMILAR_DISTANCE, SIMILAR_ACCURACY = 0.1, 1.0


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper in plain words, with its section, and the check on a data set's table."""

    sentence: str
    check: Check


def verdicts(filled: FilledTable, spectra: Spectra) -> list[Verdict]:
    """The claims about a table, checked on one data set by the means over the seeds."""
    found = []
    for claim in CLAIMS.get(filled.table.name, ()):
        holds, seen = claim.check(filled, spectra)
        found.append(Verdict(f"{claim.sentence} [{filled.data}]", holds, seen))
    return found


def show(value: Value, digits: int = 1) -> str:
    """Mean ± sd of the seeds, or the mean alone of one."""
    if value.mean is None:
        return "–"
    return f"{value.mean:.{digits}f}" + ("" if value.sd is None else f" ± {value.sd:.{digits}f}")


def beats(row: str, others: Sequence[str], columns: Sequence[str] = ()) -> Check:
    """The row is better than all others in the named columns, or in all that compare."""

    def check(filled: FilledTable, _: Spectra) -> Outcome:
        chosen = [column for column in filled.columns if column.better and (column.name in columns or not columns)]
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
            listed = ", ".join(f"{name} {show(value)}" for name, value in rivals.items())
            seen.append(f"{column.title}: {row} {show(ours)}, {listed}")
        ending = f"; not against {', '.join(wrong)}" if wrong else ""
        return not wrong, "; ".join(seen) + ending

    return check


def all_but_one_best(row: str, exception: tuple[str, str]) -> Check:
    """The row is the best of the paper's in every column, but on one data set the second in one."""

    def check(filled: FilledTable, spectra: Spectra) -> Outcome:
        data, column = exception
        others = [system.name for system in filled.rows if system.paper and system.name != row]
        names = [found.name for found in filled.columns if (filled.data, found.name) != (data, column)]
        return beats(row, others, names)(filled, spectra)

    return check


def close_to_best(row: str, columns: Sequence[str]) -> Check:
    """The accuracy is within a percentage point of the best of the paper's rows."""

    def check(filled: FilledTable, _: Spectra) -> Outcome:
        outcomes, seen = [], []
        for name in columns:
            means = {system.name: filled.value(system.name, name).mean for system in filled.rows if system.paper}
            if any(mean is None for mean in means.values()):
                return NOT_MEASURED
            best = max(mean for mean in means.values() if mean is not None)
            ours = means[row]
            assert ours is not None
            outcomes.append(best - ours <= SIMILAR_ACCURACY)
            seen.append(f"{name} labels: {row} {ours:.1f}, best {best:.1f}")
        return all(outcomes), "; ".join(seen)

    return check


def _by_weight(filled: FilledTable, column: str) -> list[tuple[float, float]] | None:
    """(weight, mean) in ascending order of the weights, which are the rows; None where one is missing."""
    pairs = [(float(row.name), filled.value(row.name, column).mean) for row in filled.rows]
    found = [(weight, mean) for weight, mean in sorted(pairs) if mean is not None]
    return found if len(found) == len(pairs) else None


def rank_falls(filled: FilledTable, _: Spectra) -> Outcome:
    """The rank is smaller at every larger weight."""
    pairs = _by_weight(filled, "rank")
    if pairs is None:
        return NOT_MEASURED
    falls = all(earlier[1] > later[1] for earlier, later in pairwise(pairs))
    return falls, ", ".join(f"rank {mean:.1f} at {weight:g}" for weight, mean in pairs)


def minimum_inside(filled: FilledTable, _: Spectra) -> Outcome:
    """The distance is smallest at a weight that is neither the smallest nor the largest."""
    pairs = _by_weight(filled, "mixture")
    if pairs is None:
        return NOT_MEASURED
    best = min(pairs, key=lambda pair: pair[1])
    listed = ", ".join(f"{mean:.1f} at {weight:g}" for weight, mean in pairs)
    return best not in (pairs[0], pairs[-1]), f"{listed}; smallest at {best[0]:g}"


def wide_is_better(filled: FilledTable, _: Spectra) -> Outcome:
    """From 256 coordinates on LoRAE is better than the plain autoencoder of the same width."""
    names = [column.name for column in filled.columns if int(column.title) >= 256]
    return beats("LoRAE", ["AE"], names)(filled, {})


def plateaus(filled: FilledTable, _: Spectra) -> Outcome:
    """From 256 to 1,024 coordinates LoRAE changes by a tenth at most, and the plain autoencoder by more."""
    means = {(row, name): filled.value(row, name).mean for row in ("LoRAE", "AE") for name in ("l=256", "l=1024")}
    if any(mean is None for mean in means.values()):
        return NOT_MEASURED
    changes = {row: means[row, "l=1024"] / means[row, "l=256"] - 1 for row in ("LoRAE", "AE")}  # type: ignore[operator]
    holds = abs(changes["LoRAE"]) <= SIMILAR_DISTANCE < changes["AE"]
    return holds, ", ".join(f"{row} {change:+.0%} from 256 to 1,024" for row, change in changes.items())


def not_the_worst(filled: FilledTable, _: Spectra) -> Outcome:
    """LoRAE is better than the worst of the other models, and within a quarter of the best."""
    means = {row.name: filled.value(row.name, "own").mean for row in filled.rows}
    if any(mean is None for mean in means.values()):
        return NOT_MEASURED
    ours, others = means.pop("LoRAE"), [mean for mean in means.values() if mean is not None]
    assert ours is not None
    listed = ", ".join(f"{name} {mean:.1f}" for name, mean in means.items())
    return min(others) * 1.25 >= ours and ours < max(others), f"LoRAE {ours:.1f}, {listed}"


def ranks(smaller: str, larger: str, factor: float = 1.0) -> Check:
    """The rank of one row is below `factor` times that of another."""

    def check(filled: FilledTable, _: Spectra) -> Outcome:
        first, second = filled.value(smaller, "rank"), filled.value(larger, "rank")
        if first.mean is None or second.mean is None:
            return NOT_MEASURED
        return first.mean < factor * second.mean, f"{smaller} {show(first)}, {larger} {show(second)}"

    return check


def decays_gradually(_: FilledTable, spectra: Spectra) -> Outcome:
    """The steepest step between neighbouring eigenvalues is larger in IRMAE's spectrum than in LoRAE's."""
    if not {"LoRAE", "IRMAE"} <= set(spectra):
        return NOT_MEASURED
    steepest = {row: _steepest(spectra[row]) for row in ("IRMAE", "LoRAE")}
    listed = ", ".join(f"{row}: a factor of {step:.3g} after number {index}" for row, (step, index) in steepest.items())
    return steepest["LoRAE"][0] < steepest["IRMAE"][0], f"the steepest step: {listed}"


def _steepest(eigenvalues: Sequence[float]) -> tuple[float, int]:
    """The largest ratio of neighbours and the number of the one above it; below rounding nothing counts."""
    values = sorted(eigenvalues, reverse=True)
    shown = [max(value, 1e-12 * values[0]) for value in values]
    steps = [upper / lower for upper, lower in pairwise(shown)]
    largest = max(steps)
    return largest, steps.index(largest) + 1


def small_and_even(row: str) -> Check:
    """How many directions a row keeps: at tolerances a thousandfold apart the same number."""

    def check(_: FilledTable, spectra: Spectra) -> Outcome:
        if row not in spectra:
            return NOT_MEASURED
        values = spectra[row]
        found = [sum(value > tolerance * max(values) for value in values) for tolerance in (1e-3, 1e-6)]
        return found[0] == found[1], f"{row} {found[0]} at 1e-3 and {found[1]} at 1e-6"

    return check


def no_worse_than(row: str, other: str) -> Check:
    """The distance of one row is at most a tenth above that of another."""

    def check(filled: FilledTable, _: Spectra) -> Outcome:
        first, second = filled.value(row, "midpoints"), filled.value(other, "midpoints")
        if first.mean is None or second.mean is None:
            return NOT_MEASURED
        return first.mean <= (1 + SIMILAR_DISTANCE) * second.mean, f"{row} {show(first)}, {other} {show(second)}"

    return check


CLAIMS: dict[str, tuple[Claim, ...]] = {
    "table3": tuple(
        Claim(f"LoRAE samples better than {other}, under both densities (section 4.2.2)", beats("LoRAE", [other]))
        for other in ("AE", "VAE", "IRMAE")
    ),
    "table4": (
        Claim(
            "LoRAE samples better than WAE and RAE, but for MVG on CelebA, where RAE does (section 4.2.3)",
            all_but_one_best("LoRAE", ("celeba", "gaussian")),
        ),
    ),
    "table5": (Claim("LoRAE samples about as well as established generative models (section 4.2.3)", not_the_worst),),
    "table6": (
        Claim(
            "With 10, 100 and 1,000 labels LoRAE's latents classify better than AE's, VAE's and training from the "
            "images (section 4.3)",
            beats("LoRAE", ["AE", "VAE", "Supervised"], ["10", "100", "1000"]),
        ),
        Claim("With all labels they are about as good (section 4.3)", close_to_best("LoRAE", ["10000", "all"])),
    ),
    "table7": (
        Claim("The rank falls with the penalty's weight (section 4.4.1)", rank_falls),
        Claim("The best samples are at a weight inside the range (section 4.4.1)", minimum_inside),
    ),
    "table8": (
        Claim("At 256 coordinates and more LoRAE samples better than AE (section 4.4.2)", wide_is_better),
        Claim("With wider latents LoRAE stays as it is, and AE gets worse (section 4.4.2)", plateaus),
    ),
    "figure2": (
        Claim(
            "LoRAE takes a considerably smaller latent space than AE, half at most (4.1)",
            ranks("LoRAE", "AE", 0.5),
        ),
        Claim("IRMAE takes a still smaller one (section 4.1)", ranks("IRMAE", "LoRAE")),
        Claim("LoRAE's spectrum decays gradually, IRMAE's drops sharply (section 4.1)", decays_gradually),
        Claim("Not in the paper: the rank of LoRAE+ is the same at every tolerance", small_and_even("LoRAE+, rank 12")),
    ),
    "figure3": (
        Claim("LoRAE interpolates better than AE (section 4.2.1)", beats("LoRAE", ["AE"])),
        Claim("LoRAE interpolates about as well as VAE, or better (section 4.2.1)", no_worse_than("LoRAE", "VAE")),
        Claim("LoRAE interpolates better than IRMAE (section 4.2.1)", beats("LoRAE", ["IRMAE"])),
    ),
}
