import dataclasses

import pytest

from lorae.paper.claims import CLAIMS, show, verdicts
from lorae.paper.filled import FilledTable, Value
from lorae.paper.orders import difference, order
from lorae.paper.published import tables

GRADUAL = [2.0**-index for index in range(20)]
SHARP = [1.0, 0.9, 0.8, 1e-7, 1e-8]


def filled(name: str, data: str, ours: dict[tuple[str, str], tuple[float, ...]]) -> FilledTable:
    table = tables()[name]
    cells = {
        (row.name, column.name): Value(
            table.published[data].get((row.name, column.name)), ours.get((row.name, column.name), ())
        )
        for row in table.rows_on(data)
        for column in table.columns[data]
    }
    return FilledTable(table, data, cells)


def distances(**values: tuple[float, ...]) -> FilledTable:
    ours = {(row, column): seeds for row, seeds in values.items() for column in ("gaussian", "mixture")}
    return filled("table3", "mnist", ours)


@pytest.mark.parametrize("name", list(CLAIMS))
def test_what_is_not_measured_is_neither_held_nor_refuted(name):
    for data in tables()[name].data:
        for verdict in verdicts(filled(name, data, {}), {}):
            assert verdict.holds is None
            assert verdict.seen == "not measured"


def test_a_baseline_that_is_better_refutes_its_claim_alone():
    found = verdicts(distances(AE=(9.0,), VAE=(3.0,), IRMAE=(8.0,), LoRAE=(5.0,)), {})
    assert [verdict.holds for verdict in found] == [True, False, True]
    assert "not against VAE in MVG" in found[1].seen


@pytest.mark.parametrize(
    ("ranks", "holds"), [((7, 8, 18, 40, 65), True), ((7, 8, 8, 40, 65), False), ((9, 8, 18, 40, 65), False)]
)
def test_the_rank_falls_only_where_each_step_is_down(ranks, holds):
    rows = ("1e-1", "1e-2", "1e-3", "1e-4", "1e-5")
    table = filled("table7", "mnist", {(row, "rank"): (rank,) for row, rank in zip(rows, ranks, strict=True)})
    assert verdicts(table, {})[0].holds is holds


@pytest.mark.parametrize(
    ("values", "holds"), [((5, 4, 3, 4, 5), True), ((1, 2, 3, 4, 5), False), ((5, 4, 3, 2, 1), False)]
)
def test_a_minimum_at_an_end_is_not_inside(values, holds):
    rows = ("1e-1", "1e-2", "1e-3", "1e-4", "1e-5")
    table = filled("table7", "mnist", {(row, "mixture"): (value,) for row, value in zip(rows, values, strict=True)})
    assert verdicts(table, {})[1].holds is holds


def test_a_sharp_drop_is_told_from_a_gradual_decay():
    table = filled("figure2", "mnist", {})
    claim = "LoRAE's spectrum decays gradually"
    for spectra, holds in (
        ({"LoRAE": GRADUAL, "IRMAE": SHARP}, True),
        ({"LoRAE": SHARP, "IRMAE": GRADUAL}, False),
    ):
        found = next(verdict for verdict in verdicts(table, spectra) if verdict.claim.startswith(claim))
        assert found.holds is holds


def test_the_steepest_step_does_not_depend_on_scale_or_order():
    table = filled("figure2", "mnist", {})
    seen = [
        verdicts(table, {"LoRAE": [scale * value for value in values], "IRMAE": SHARP})[2].seen
        for scale, values in ((1.0, GRADUAL), (1e3, GRADUAL), (1.0, GRADUAL[::-1]))
    ]
    assert len(set(seen)) == 1


def test_a_pair_that_may_be_chance_is_undecided():
    close = distances(AE=(9.0, 9.2, 9.1), LoRAE=(9.05, 9.25, 9.0))
    clear = distances(AE=(9.0, 9.2, 9.1), LoRAE=(2.0, 2.1, 2.2))
    column = close.columns[0]
    assert order(close, column).undecided == (("LoRAE", "AE"),)
    assert order(clear, column).same == (("LoRAE", "AE"),)
    assert order(clear, column).words == "yes"
    assert "too close to tell: LoRAE and AE" in order(close, column).words


def test_the_other_order_is_named_and_one_seed_said():
    found = order(distances(AE=(2.0,), LoRAE=(3.0,)), distances().columns[0])
    assert found.other == (("LoRAE", "AE"),)
    assert found.words == "no: AE before LoRAE (one seed)"
    assert (found.published, found.ours) == (("LoRAE", "AE"), ("AE", "LoRAE"))


def test_higher_is_better_for_accuracies():
    table = filled("table6", "mnist", {("AE", "10"): (40.0,), ("LoRAE", "10"): (50.0,)})
    found = order(table, table.columns[0])
    assert found.same == (("LoRAE", "AE"),)
    assert found.published == found.ours == ("LoRAE", "AE")


def test_a_difference_changes_sign_with_its_sides():
    first, second = Value(None, (1.0, 1.1)), Value(None, (4.0, 4.2))
    assert difference(first, second) == pytest.approx(-difference(second, first))
    assert difference(first, first) is None


def test_values_show_their_spread_where_there_is_one():
    assert show(Value(None)) == "–"
    assert show(Value(1.0, (2.0,))) == "2.0"
    assert show(Value(1.0, (2.0, 4.0))) == "3.0 ± 1.4"
    assert dataclasses.replace(Value(1.0), ours=(2.0,)).sd is None
