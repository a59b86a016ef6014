"""Everything of the paper that `lorae reproduce` knows: which cells a study needs, and what its page is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorae.errors import LoraeError
from lorae.reproduction.jobs.store import Job, Record
from lorae.reproduction.pages.blocks import Page
from lorae.reproduction.tables.page import table_page
from lorae.reproduction.tables.plan import distinct, fill, measurement, planned
from lorae.reproduction.tables.presets import PRESETS, PROTOCOLS, StudyConfig
from lorae.reproduction.tables.published import System, Table, tables
from lorae.reproduction.theory import adam_convergence as convergence
from lorae.reproduction.theory import distance_contrast as contrast
from lorae.reproduction.theory import rank_scaling as exponent

Records = Mapping[str, Record]


@dataclass(frozen=True)
class Study:
    """A table, a figure or a theorem. data: the data sets that it is of; cells: those that it needs; page: of them."""

    name: str
    title: str
    data: tuple[str, ...]
    cells: Callable[[StudyConfig], list[Job]]
    page: Callable[[StudyConfig, Records, Path], Page]


def _of_table(table: Table) -> Study:
    def cells(scale: StudyConfig) -> list[Job]:
        return distinct(entry.cell for entry in planned(table, scale))

    def page(scale: StudyConfig, records: Records, folder: Path) -> Page:
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
            features=_features(scale, table),
            folder=folder,
        )

    return Study(table.name, table.title, table.data, cells, page)


def _picture(place: str, folder: Path) -> Path:
    if not (folder / place).exists():
        raise LoraeError(f"out: {str(folder / place)!r} is missing; it belongs to the records in {str(folder)!r}")
    return Path(place)


AUTHORS_CLASSIFIER = (
    "The models are trained by the protocol above; `authors_code` is how the authors' code classifies: the first items "
    "have labels whatever they show, latents are taken before M where there is one, and the moment with the best TEST "
    "accuracy counts, so that all numbers are a little too good."
)


def protocol_words(scale: StudyConfig, table: Table) -> list[str]:
    """How the numbers of a table were made, a sentence each, from the configurations of its cells."""
    command = f"lorae reproduce {table.name} --preset {scale.preset}"
    command += "" if scale.seeds == PRESETS[scale.preset].seeds else f" --seeds {scale.seeds}"
    command += "" if scale.protocol == "paper" else f" --protocol {scale.protocol}"
    command += " --data-root FOLDER" if "celeba" in scale.data and "celeba" in table.data else ""
    sentences = [f"Preset `{scale.preset}`, protocol `{scale.protocol}`, seeds from 0 on; the command: `{command}`."]
    for data in (name for name in table.data if name in scale.data):
        preset, protocol = PRESETS[scale.preset], PROTOCOLS[scale.protocol]
        common = preset.training.get(data, {})
        sentences.append(f"Training on {data}: {_listed(common) or 'the settings of the paper'}.")
        rows = {
            row.name: row.settings_on(data) | dict(protocol.systems.get(row.name, {}).get(data, {}))
            for row in table.rows_on(data)
        }
        sentences.append(f"Rows: {', '.join(f'{name} ({_listed(settings)})' for name, settings in rows.items())}.")
        theirs = protocol.training.get(data, {})
        if theirs:
            sentences.append(f"Of AE, VAE, IRMAE and LoRAE, as in the authors' code: {_listed(theirs)}.")
        sentences += _measures(scale, table, data)
    if any(
        column.measure_settings.get("protocol") == "authors_code"
        for found in table.columns.values()
        for column in found
    ):
        sentences.append(AUTHORS_CLASSIFIER)
    missing = [name for name in table.data if name not in scale.data]
    if missing:
        sentences.append(f"Not measured: {', '.join(missing)}, whose files `--data-root FOLDER` names.")
    return sentences


def _measures(scale: StudyConfig, table: Table, data: str) -> list[str]:
    """A sentence for each way in which something is measured, with the rows that it holds for where not all."""
    found: dict[str, list[str]] = {}
    methods = {row.name: row.settings["method"] for row in table.rows}
    columns = {column.name: column for column in table.columns[data]}
    for entry in planned(table, scale):
        name = entry.cell.configuration["measure"]["name"]
        if entry.data == data and entry.column is not None and entry.seed == 0:
            settings = scale.measure(data, methods[entry.row], name, settings=columns[entry.column].measure_settings)
            if "labels" in settings:
                settings["labels"] = [
                    column.labels for column in columns.values() if column.labels in settings["labels"]
                ]
            words = f"`{name}`: {_listed(settings, without='name')}"
            found.setdefault(words, []).append(entry.row)
    count = len(table.rows_on(data))
    sentences = []
    for words, rows in found.items():
        different = list(dict.fromkeys(rows))
        which = "" if len(different) == count else f" of {', '.join(different)}"
        sentences.append(f"Measured on {data}{which}: {words}.")
    return sentences


def _features(scale: StudyConfig, table: Table) -> dict[str, str]:
    """Data set -> the network whose features are compared, where distances are."""
    found = {}
    for data, columns in table.columns.items():
        for column in columns:
            settings = scale.measure(data, "ae", column.measure, settings=column.measure_settings)
            if "features" in settings:
                found[data] = settings["features"]
    return found


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


def _weighted(scale: StudyConfig, measure: str, systems: list[System]) -> list[tuple[System, int, Job]]:
    return [
        (system, seed, measurement(scale, "mnist", system, measure, seed))
        for seed in range(scale.seeds)
        for system in systems
    ]


def _contrast_cells(scale: StudyConfig) -> list[Job]:
    return [cell for _, _, cell in _weighted(scale, "contrast", [NO_PENALTY, *_by_weight()])]


def _contrast_page(scale: StudyConfig, records: Records, folder: Path) -> Page:
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


def _exponent_cells(scale: StudyConfig) -> list[Job]:
    return [cell for _, _, cell in _weighted(scale, "rank", _by_weight())]


def _exponent_page(scale: StudyConfig, records: Records, folder: Path) -> Page:
    published = tables()["table7"].published["mnist"]
    rows = [
        {"weight": float(system.name), "seed": seed, "published": published.get((system.name, "rank"))}
        | {name: records[cell.key]["result"][name] for name in ("ranks", "matrix_ranks", "entropy_rank")}
        for system, seed, cell in _weighted(scale, "rank", _by_weight())
        if cell.key in records
    ]
    return exponent.page(rows, folder, len(_by_weight()))


def _convergence_page(scale: StudyConfig, records: Records, folder: Path) -> Page:
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
