"""The page of a table or figure of the paper: published values and ours, claims, protocol and images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lorae.plotting.plots import plot_spectrum
from lorae.reports.formatting import mean_and_deviation
from lorae.reproduction.pages.blocks import Block, ClaimResult, Gallery, Grid, Page, Picture, Text
from lorae.reproduction.tables.claims import count_seeds, judge_claims
from lorae.reproduction.tables.ranking import compare_order
from lorae.reproduction.tables.results import ResultsTable

DATA_TITLES = {"mnist": "MNIST", "celeba": "CelebA"}

CAPTIONS = {
    "samples-mixture": "decoded latents drawn from a Gaussian mixture that is fitted to the training latents",
    "samples-own": "decoded latents drawn from the prior of models that have one, else from a fitted Gaussian",
    "samples-gaussian": "decoded latents drawn from one Gaussian that is fitted to the training latents",
    "interpolation-linear": "test images at both ends of each row, between them decoded latents on a straight line",
}
BY_MEANS = (
    "Claims are checked on the means over the seeds. Differences within two standard errors may be chance; the tables "
    "of the order of the rows name them."
)

# Figures that need the width of a page.
WIDE = ("interpolation-linear",)

# Claims of the paper about images, which no number measures.
REMARKS = {
    "table1": "The paper finds that LoRAE's images have a higher visual quality than AE's and IRMAE's and are on a par "
    "with VAE's, whose backgrounds are blurred (section 4.2.2). The Frechet distances of these images are in `table3`.",
    "table2": "The paper makes the same claims about these images as about those of `table1`.",
}


def table_page(
    results: Sequence[ResultsTable],
    *,
    protocol: Sequence[str],
    pictures: Mapping[tuple[str, str, str], Path],
    spectra: Mapping[str, Mapping[str, Sequence[float]]],
    features: Mapping[str, str],
    folder: Path,
) -> Page:
    """Build the page of a table on all its data sets.

    results: the table on each data set
    protocol: sentences about how the numbers were made
    pictures: (data, row, figure) -> path below `folder`
    spectra: data -> row -> eigenvalues of the latent covariance; they are drawn into one plot
    features: data -> the network whose features the Frechet distances compare
    """
    table = results[0].table
    blocks: list[Block] = [Text(REMARKS[table.name])] if table.name in REMARKS else []
    for part in results:
        if part.columns:
            blocks += [_grid(part), *_notes(part, features.get(part.data)), *_order_grid(part)]
        blocks += judge_claims(part, spectra.get(part.data, {}))
        if part.data in spectra:
            blocks.append(_overlay(part, spectra[part.data], folder))
        for name in table.pictures:
            shown = [(row, path) for (data, row, kind), path in pictures.items() if (data, kind) == (part.data, name)]
            title = f"{DATA_TITLES[part.data]}, seed 0: {CAPTIONS[name]}"
            if name in WIDE:
                blocks += [Picture(path, f"{row}. {title}") for row, path in shown]
            elif shown:
                blocks.append(Gallery(title, tuple(shown)))
    if any(isinstance(block, ClaimResult) for block in blocks):
        blocks.append(Text(BY_MEANS))
    return Page(table.name, table.title, (*blocks, *(Text(words) for words in protocol)))


def _grid(results: ResultsTable) -> Grid:
    header = [DATA_TITLES[results.data]]
    for column in results.columns:
        header += [f"{column.title}: paper", "ours"]
    rows = []
    for row in results.rows:
        cells = [row.name if row.paper else f"{row.name} *"]
        for column in results.columns:
            value = results.value(row.name, column.name)
            cells += ["–" if value.published is None else f"{value.published:g}", mean_and_deviation(value.ours)]
        rows.append(tuple(cells))
    return Grid(_caption(results), tuple(header), tuple(rows))


def _order_grid(results: ResultsTable) -> list[Block]:
    """Compare the order of the rows with the paper's, a line for each column with a better end."""
    lines = []
    for column in results.columns:
        found = compare_order(results, column) if column.better else None
        if found is not None and len(found.published) > 1:
            lines.append((column.title, ", ".join(found.published), ", ".join(found.ours), found.words))
    caption = f"{DATA_TITLES[results.data]}: the order of the rows, from the best to the worst"
    return [Grid(caption, ("column", "paper", "ours", "same order?"), tuple(lines))] if lines else []


def _caption(results: ResultsTable) -> str:
    return f"{DATA_TITLES[results.data]}: mean ± standard deviation over {count_seeds(results.values.values())}"


def _notes(results: ResultsTable, features: str | None) -> list[Block]:
    better = {column.better for column in results.columns if column.better}
    notes = [f"{better.pop().capitalize()} is better."] if len(better) == 1 else []
    if not all(row.paper for row in results.rows):
        notes.append("Rows with a * are not in the paper.")
    if features not in (None, "inception") and any(results.table.published[results.data]):
        notes.append(
            f"Frechet distances depend on the network of the features: an Inception network in the paper, `{features}` "
            "here. Orders can be compared, values cannot."
        )
    return [Text(" ".join(notes))] if notes else []


def _overlay(results: ResultsTable, spectra: Mapping[str, Sequence[float]], folder: Path) -> Picture:
    place = Path("pictures") / f"{results.table.name}-{results.data}.png"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    plot_spectrum(spectra, folder / place)
    return Picture(place, f"{DATA_TITLES[results.data]}: eigenvalues of the covariance of the test latents, seed 0")
