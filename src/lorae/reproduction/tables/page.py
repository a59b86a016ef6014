"""The page of a table or figure of the paper: published values and ours, claims, protocol and images."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorae.plotting.plots import spectrum_figure
from lorae.reproduction.pages.blocks import (
    ORDERS,
    Block,
    ClaimResult,
    Details,
    Gallery,
    Grid,
    Page,
    Picture,
    Text,
    plot,
)
from lorae.reproduction.tables.claims import count_seeds, judge_claims
from lorae.reproduction.tables.published import texts
from lorae.reproduction.tables.ranking import compare_order
from lorae.reproduction.tables.results import ResultsTable

DATA_TITLES = {"mnist": "MNIST", "celeba": "CelebA"}

# Figures that need the width of a page.
WIDE = ("interpolation-linear",)


def table_page(
    results: Sequence[ResultsTable],
    *,
    protocol: Sequence[str],
    pictures: Mapping[tuple[str, str, str], Path],
    spectra: Mapping[str, Mapping[str, Sequence[float]]],
    features: Mapping[str, str],
    folder: Path,
) -> Page:
    """Build the page of a table from its results on each data set and sentences about how they were made.

    `pictures` are paths below `folder` by data, row and figure; `spectra` eigenvalues of the latent covariance by data
    and row; `features` the networks whose features the Frechet distances compare, by data.
    """
    table = results[0].table
    blocks: list[Block] = [Text(table.remark)] if table.remark else []
    for part in results:
        if part.columns:
            blocks += [_grid(part), *_notes(part, features.get(part.data)), *_order_grid(part)]
        blocks += judge_claims(part, spectra.get(part.data, {}))
        if part.data in spectra:
            blocks.append(_overlay(part, spectra[part.data], folder))
        for name in table.pictures:
            shown = [(row, path) for (data, row, kind), path in pictures.items() if (data, kind) == (part.data, name)]
            title = f"{DATA_TITLES[part.data]}, seed 0: {texts()[name]}"
            if name in WIDE:
                blocks += [Picture(path, f"{row}. {title}") for row, path in shown]
            elif shown:
                blocks.append(Gallery(title, tuple(shown)))
    if any(isinstance(block, ClaimResult) for block in blocks):
        blocks.append(Text(texts()["by_means"], judges=True))
    if protocol:
        blocks.append(Details("Protocol: settings, measures and the command", tuple(protocol)))
    return Page(table.name, table.title, tuple(blocks))


def _grid(results: ResultsTable) -> Grid:
    """Return the table of a data set; the paper's values or ours are left out where a column has none of them."""
    published = {cell[1] for cell, value in results.values.items() if value.published is not None}
    measured = {cell[1] for cell, value in results.values.items() if value.trainings}
    measured = measured or {column.name for column in results.columns}  # dashes say that nothing is measured yet
    header = [DATA_TITLES[results.data]]
    for column in results.columns:
        names = ["paper"] * (column.name in published) + ["ours"] * (column.name in measured)
        header += [f"{column.title}: paper" if name == "paper" else name for name in names]
        if names == ["ours"]:
            header[-1] = column.title
    rows = []
    for row in results.rows:
        cells = [row.name if row.paper else f"{row.name} *"]
        for column in results.columns:
            value = results.value(row.name, column.name)
            if column.name in published:
                cells.append("–" if value.published is None else f"{value.published:g}")
            if column.name in measured:
                cells.append(_ours(results, row.name, column.name))
        rows.append(tuple(cells))
    seeds = count_seeds(results.values.values())
    return Grid(f"{DATA_TITLES[results.data]}: mean ± standard deviation over {seeds}", tuple(header), tuple(rows))


def _ours(results: ResultsTable, row: str, column: str) -> str:
    """Return our values as text, with the trainings that failed: `collapsed`, or `19.1 ± 0.4 (1 of 3 collapsed)`."""
    value = results.value(row, column)
    failed = [
        f"{value.failed.count(outcome)} of {value.trainings} {outcome}" for outcome in dict.fromkeys(value.failed)
    ]
    if not failed:
        return results.text(row, column)
    if not value.ours and len(failed) == 1:
        return value.failed[0]
    return f"{results.text(row, column)} ({', '.join(failed)})"


def _order_grid(results: ResultsTable) -> list[Block]:
    """Compare the order of the rows with the paper's, a line for each column with a better end."""
    found = {column.title: compare_order(results, column) for column in results.columns if column.better}
    lines = [
        (title, ORDERS[order.outcome], ", ".join(order.published), ", ".join(order.ours), *order.pairs)
        for title, order in found.items()
        if len(order.published) > 1
    ]
    caption = f"{DATA_TITLES[results.data]}: the order of the rows, from the best to the worst"
    header = ("column", "same order?", "paper", "ours", "in the other order here", "too close to tell")
    return [Grid(caption, header, tuple(lines), judges=True).without_empty_columns()] if lines else []


def _notes(results: ResultsTable, features: str | None) -> list[Block]:
    better = {column.better for column in results.columns if column.better}
    notes = [f"{better.pop().capitalize()} is better."] if len(better) == 1 else []
    if not all(row.paper for row in results.rows):
        notes.append("Rows with a * are not in the paper.")
    if features not in (None, "inception") and any(results.table.published[results.data]):
        notes.append(texts()["features"].format(features=features))
    return [Text(" ".join(notes))] if notes else []


def _overlay(results: ResultsTable, spectra: Mapping[str, Sequence[float]], folder: Path) -> Picture:
    caption = f"{DATA_TITLES[results.data]}: eigenvalues of the covariance of the test latents, seed 0"
    return plot(folder, f"{results.table.name}-{results.data}", caption, functools.partial(spectrum_figure, spectra))
