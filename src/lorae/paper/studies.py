"""Everything of the paper that `lorae reproduce` knows: which cells a study needs, and what its page is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorae.errors import LoraeError
from lorae.paper import contrast, convergence, exponent
from lorae.paper.cells import Cell, Record
from lorae.paper.page import Page
from lorae.paper.plan import distinct, fill, measurement, planned
from lorae.paper.presets import PRESETS, PROTOCOLS, Scale
from lorae.paper.published import System, Table, tables
from lorae.paper.table_page import table_page

Records = Mapping[str, Record]


@dataclass(frozen=True)
class Study:
    """A table, a figure or a theorem. data: the data sets that it is of; cells: those that it needs; page: of them."""

    name: str
    title: str
    data: tuple[str, ...]
    cells: Callable[[Scale], list[Cell]]
    page: Callable[[Scale, Records, Path], Page]


def _of_table(table: Table) -> Study:
    def cells(scale: Scale) -> list[Cell]:
        return distinct(entry.cell for entry in planned(table, scale))

    def page(scale: Scale, records: Records, folder: Path) -> Page:
        shown: dict[tuple[str, str, str], Path] = {}
        spectra: dict[str, dict[str, list[float]]] = {}
        for entry in planned(table, scale):
            result = records.get(entry.cell.key, {}).get("result")
            if result is None or entry.seed:
                continue
            for name in table.pictures if entry.column is None else ():
                shown[entry.data, entry.row, name] = _picture(result["pictures"][name], folder)
            if table.name == "figure2":
                spectra.setdefault(entry.data, {})[entry.row] = result["eigenvalues"]
        return table_page(
            fill(table, scale, records),
            protocol=protocol_words(scale, table),
            pictures=shown,
            spectra=spectra,
            folder=folder,
        )

    return Study(table.name, table.title, table.data, cells, page)


def _picture(place: str, folder: Path) -> Path:
    if not (folder / place).exists():
        raise LoraeError(f"out: {str(folder / place)!r} is missing; it belongs to the records in that folder")
    return Path(place)


def protocol_words(scale: Scale, table: Table) -> list[str]:
    """How the numbers of a table were made, a sentence each, in words that the settings give."""
    sentences = [
        f"Preset `{scale.preset}`, protocol `{scale.protocol}`, {scale.seeds} seeds; the command: "
        f"`lorae reproduce {table.name} --preset {scale.preset}`."
    ]
    for data in (name for name in table.data if name in scale.data):
        preset, protocol = PRESETS[scale.preset], PROTOCOLS[scale.protocol]
        training = {**protocol.training.get(data, {}), **preset.training.get(data, {})}
        sentences.append(f"Training on {data}: {_listed(training) or 'the settings of the paper'}.")
        measures = sorted({column.measure for column in table.columns[data]})
        for name in measures:
            settings = scale.measure(data, "ae", name)
            sentences.append(f"Measure `{name}` on {data}: {_listed(settings, without='name')}.")
    return sentences


def _listed(settings: Mapping[str, Any], without: str = "") -> str:
    words = []
    for name, value in settings.items():
        if name != without:
            shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            words.append(f"{name.replace('_', ' ')} {shown}")
    return "; ".join(words)


# The weights of table 7; the theory looks at the same models, and theorem 2 at one without the penalty as well.
def _by_weight() -> list[System]:
    return list(tables()["table7"].rows)


NO_PENALTY = System("0", {"method": "lorae", "penalty": 0.0}, paper=False)


def _weighted(scale: Scale, measure: str, systems: list[System]) -> list[tuple[System, int, Cell]]:
    return [
        (system, seed, measurement(scale, "mnist", system, measure, seed))
        for seed in range(scale.seeds)
        for system in systems
    ]


def _contrast_cells(scale: Scale) -> list[Cell]:
    return [cell for _, _, cell in _weighted(scale, "contrast", [NO_PENALTY, *_by_weight()])]


def _contrast_page(scale: Scale, records: Records, folder: Path) -> Page:
    rows = [
        {
            "weight": float(system.name),
            "label": system.name,
            "seed": seed,
            "contrast": records[cell.key]["result"]["contrast"],
        }
        for system, seed, cell in _weighted(scale, "contrast", [NO_PENALTY, *_by_weight()])
        if cell.key in records
    ]
    return contrast.page(rows, folder)


def _exponent_cells(scale: Scale) -> list[Cell]:
    return [cell for _, _, cell in _weighted(scale, "rank", _by_weight())]


def _exponent_page(scale: Scale, records: Records, folder: Path) -> Page:
    published = tables()["table7"].published["mnist"]
    rows = [
        {"weight": float(system.name), "seed": seed, "published": published.get((system.name, "rank"))}
        | {name: records[cell.key]["result"][name] for name in ("ranks", "matrix_ranks", "entropy_rank")}
        for system, seed, cell in _weighted(scale, "rank", _by_weight())
        if cell.key in records
    ]
    return exponent.page(rows, folder)


def _convergence_page(scale: Scale, records: Records, folder: Path) -> Page:
    cells = convergence.cells(scale.preset, scale.seeds)
    return convergence.page([records[cell.key] for cell in cells if cell.key in records], folder)


def studies() -> dict[str, Study]:
    """All studies by name, in the paper's order."""
    found = [_of_table(table) for table in tables().values()]
    found += [
        Study(
            "theorem1",
            "Convergence of the gradient",
            (),
            lambda scale: convergence.cells(scale.preset, scale.seeds),
            _convergence_page,
        ),
        Study("theorem2", "Contrast of distances", ("mnist",), _contrast_cells, _contrast_page),
        Study("proposition1", "Rank against the penalty's weight", ("mnist",), _exponent_cells, _exponent_page),
    ]
    return {study.name: study for study in found}
