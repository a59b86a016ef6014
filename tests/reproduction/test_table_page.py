from pathlib import Path

from lorae.reproduction.pages.blocks import ClaimResult, Details, Gallery, Grid, Picture, Text
from lorae.reproduction.tables.page import table_page
from lorae.reproduction.tables.published import tables
from lorae.reproduction.tables.results import ResultsTable, Value

PLACE = Path("pictures/a.png")


def filled(seeds: int) -> ResultsTable:
    table = tables()["table3"]
    published = table.published["mnist"]
    return ResultsTable(
        table,
        "mnist",
        {
            (row.name, column.name): Value(published.get((row.name, column.name)), (10.0,) * seeds)
            for row in table.rows_on("mnist")
            for column in table.columns["mnist"]
        },
    )


def test_the_page_of_a_table_shows_both_values_claims_protocol_and_pictures(tmp_path):
    found = table_page(
        [filled(3)],
        protocol=["Trained for four epochs."],
        pictures={("mnist", "AE", "samples-mixture"): PLACE},
        spectra={"mnist": {"AE": [1.0, 0.1]}},
        features={},
        folder=tmp_path,
    )
    grid = next(block for block in found.blocks if isinstance(block, Grid))
    assert ("AE", "103.08", "10.0 ± 0.0", "68.97", "10.0 ± 0.0") in grid.rows
    assert any(row[0].endswith("*") and row[1] == "–" for row in grid.rows)
    orders = [block for block in found.blocks if isinstance(block, Grid)][1]
    assert orders.header[:3] == ("column", "same order?", "paper")
    assert orders.rows[0][:3] == ("MVG", "too close to tell", "LoRAE, VAE, IRMAE, AE")
    assert "3 seeds" in grid.caption
    assert found.blocks[-1] == Details("Protocol: settings, measures and the command", ("Trained for four epochs.",))
    overlay = next(block for block in found.blocks if isinstance(block, Picture))
    assert (tmp_path / overlay.path).read_bytes()[:4] == b"\x89PNG"
    gallery = next(block for block in found.blocks if isinstance(block, Gallery))
    assert gallery.shown == (("AE", PLACE),)
    assert any(isinstance(block, ClaimResult) for block in found.blocks)


def test_a_table_without_any_measurement_still_has_a_page(tmp_path):
    found = table_page([filled(0)], protocol=[], pictures={}, spectra={}, features={}, folder=tmp_path)
    grid = next(block for block in found.blocks if isinstance(block, Grid))
    assert grid.rows[0] == ("AE", "103.08", "–", "68.97", "–")
    assert {block.holds for block in found.blocks if isinstance(block, ClaimResult)} == {None}


def test_tables_of_pictures_say_what_the_paper_sees_in_them(tmp_path):
    table = tables()["table1"]
    pictures = {(data, row.name, name): PLACE for data in table.data for row in table.rows for name in table.pictures}
    parts = [ResultsTable(table, data, {}) for data in table.data]
    found = table_page(parts, protocol=[], pictures=pictures, spectra={}, features={}, folder=tmp_path)
    first = found.blocks[0]
    assert isinstance(first, Text)
    assert "The paper" in first.words
    assert not any(isinstance(block, Grid | ClaimResult) for block in found.blocks)
    galleries = [block for block in found.blocks if isinstance(block, Gallery)]
    assert [[row for row, _ in gallery.shown] for gallery in galleries] == [["AE", "VAE", "LoRAE"]] * 2


def test_a_column_without_a_published_value_has_ours_alone_and_ranks_are_whole(tmp_path):
    table = tables()["figure2"]
    values = {(row.name, "rank"): Value(None, (22.0, 21.0, 25.0)) for row in table.rows_on("mnist")}
    part = ResultsTable(table, "mnist", values)
    found = table_page([part], protocol=[], pictures={}, spectra={}, features={}, folder=tmp_path)
    grid = next(block for block in found.blocks if isinstance(block, Grid))
    assert grid.header == ("MNIST", "rank")
    assert ("AE", "23 ± 2") in grid.rows
    assert any("AE 23 ± 2" in block.seen for block in found.blocks if isinstance(block, ClaimResult))
