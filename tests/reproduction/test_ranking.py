import pytest

from lorae.reproduction.tables.ranking import compare_order, difference
from lorae.reproduction.tables.results import Value
from tests.reproduction.test_claims import distances, filled


def test_a_pair_that_may_be_chance_is_undecided():
    close = distances(AE=(9.0, 9.2, 9.1), LoRAE=(9.05, 9.25, 9.0))
    clear = distances(AE=(9.0, 9.2, 9.1), LoRAE=(2.0, 2.1, 2.2))
    column = close.columns[0]
    assert compare_order(close, column).undecided == (("LoRAE", "AE"),)
    assert compare_order(clear, column).same == (("LoRAE", "AE"),)
    assert compare_order(clear, column).pairs == ("", "")
    assert compare_order(close, column).pairs == ("", "LoRAE and AE")


@pytest.mark.parametrize(
    ("vae", "same", "pairs"),
    [
        (2.5, True, ("", "LoRAE and VAE")),
        (15.0, False, ("AE before VAE", "LoRAE and AE")),
    ],
)
def test_pairs_that_are_decided_answer_and_the_others_are_named(vae, same, pairs):
    ae = 9.0 if vae < 9.0 else 2.5
    found = distances(AE=(ae, ae + 0.1), VAE=(vae, vae + 0.1), LoRAE=(2.0, 3.0))
    assert compare_order(found, found.columns[0]).outcome is same
    assert compare_order(found, found.columns[0]).pairs == pairs


def test_rows_without_both_values_do_not_compare():
    found = distances(LoRAE=(1.0,), **{"LoRAE+, rank 12": (0.5,)})
    assert compare_order(found, found.columns[0]).published == ("LoRAE",)
    assert compare_order(found, found.columns[0]).outcome is None


def test_the_other_order_is_named():
    found = compare_order(distances(AE=(2.0,), LoRAE=(3.0,)), distances().columns[0])
    assert found.other == (("LoRAE", "AE"),)
    assert found.pairs == ("AE before LoRAE", "")
    assert (found.published, found.ours) == (("LoRAE", "AE"), ("AE", "LoRAE"))


def test_higher_is_better_for_accuracies():
    table = filled("table6", "mnist", {("AE", "10"): (40.0,), ("LoRAE", "10"): (50.0,)})
    found = compare_order(table, table.columns[0])
    assert found.same == (("LoRAE", "AE"),)
    assert found.published == found.ours == ("LoRAE", "AE")


def test_a_difference_changes_sign_with_its_sides():
    first, second = Value(None, (1.0, 1.1)), Value(None, (4.0, 4.2))
    assert difference(first, second) == pytest.approx(-difference(second, first))
    assert difference(first, first) is None


def test_equal_values_of_one_seed_decide_nothing():
    found = distances(AE=(2.0,), LoRAE=(2.0,))
    assert compare_order(found, found.columns[0]).pairs == ("", "LoRAE and AE")
