"""Sentences about how the numbers of a table were made. Imports no torch."""

from collections.abc import Mapping
from typing import Any

from lorae.reproduction.tables.plan import planned
from lorae.reproduction.tables.presets import PRESETS, PROTOCOLS, StudyConfig
from lorae.reproduction.tables.published import Table, texts


def describe_protocol(config: StudyConfig, table: Table) -> list[str]:
    """Return the protocol of a table as sentences, from the configurations of its jobs."""
    preset, protocol = PRESETS[config.preset], PROTOCOLS[config.protocol]
    command = f"lorae reproduce {table.name} --preset {config.preset}"
    command += "" if config.seeds == preset.seeds else f" --seeds {config.seeds}"
    command += "" if config.protocol == "paper" else f" --protocol {config.protocol}"
    command += " --data-root FOLDER" if "celeba" in config.data and "celeba" in table.data else ""
    sentences = [f"Preset `{config.preset}`, protocol `{config.protocol}`, seeds from 0 on; the command: `{command}`."]
    for data in (name for name in table.data if name in config.data):
        common = preset.training.get(data, {})
        sentences.append(f"Training on {data}: {_join(common) or 'the settings of the paper'}.")
        rows = {
            row.name: row.settings_on(data) | dict(protocol.systems.get(row.name, {}).get(data, {}))
            for row in table.rows_on(data)
        }
        sentences.append(f"Rows: {', '.join(f'{name} ({_join(settings)})' for name, settings in rows.items())}.")
        theirs = protocol.training.get(data, {})
        if theirs:
            sentences.append(f"AE, VAE, IRMAE and LoRAE are trained as in the authors' code: {_join(theirs)}.")
        sentences += _measures(config, table, data)
    columns = [column for found in table.columns.values() for column in found]
    if any(column.measure_settings.get("protocol") == "authors_code" for column in columns):
        sentences.append(texts()["authors_classifier"])
    missing = [name for name in table.data if name not in config.data]
    if missing:
        sentences.append(f"Not measured: {', '.join(missing)}; pass the folder of its files by `--data-root FOLDER`.")
    return sentences


def _measures(config: StudyConfig, table: Table, data: str) -> list[str]:
    """Return a sentence for each set of measure settings, naming the rows unless it holds for all of them."""
    found: dict[str, list[str]] = {}
    methods = {row.name: row.settings["method"] for row in table.rows}
    columns = {column.name: column for column in table.columns[data]}
    for entry in planned(table, config):
        name = entry.job.configuration["measure"]["name"]
        if entry.data == data and entry.column is not None and entry.seed == 0:
            settings = config.measure(data, methods[entry.row], name, settings=columns[entry.column].measure_settings)
            if "labels" in settings:
                settings["labels"] = [c.labels for c in columns.values() if c.labels in settings["labels"]]
            words = f"`{name}`: {_join(settings, without='name')}"
            found.setdefault(words, []).append(entry.row)
    count = len(table.rows_on(data))
    sentences = []
    for words, rows in found.items():
        different = list(dict.fromkeys(rows))
        which = "" if len(different) == count else f" of {', '.join(different)}"
        sentences.append(f"Measured on {data}{which}: {words}.")
    return sentences


def compared_features(config: StudyConfig, table: Table) -> dict[str, str]:
    """Return data set -> the network whose features the Frechet distances compare."""
    settings = [
        (data, config.measure(data, "ae", column.measure, settings=column.measure_settings))
        for data, columns in table.columns.items()
        for column in columns
    ]
    return {data: found["features"] for data, found in settings if "features" in found}


def _join(settings: Mapping[str, Any], without: str = "") -> str:
    shown = {
        name.replace("_", " "): ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        for name, value in settings.items()
        if name != without
    }
    return "; ".join(f"{name} {value}" for name, value in shown.items())
