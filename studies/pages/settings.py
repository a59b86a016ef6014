"""Draw the tables of docs/api/settings.md: every setting with its default, its values and its meaning."""

import dataclasses
from typing import Any

from lorae.config.data_settings import DataSettings
from lorae.config.evaluation_settings import EvaluationSettings
from lorae.config.settings import Settings
from lorae.sweeps import SweepOptions
from studies import common

PAGE = "docs/api/settings.md"


def table(settings: Any, without: frozenset[str] = frozenset()) -> str:
    """Return the table of a class of settings."""
    rows = []
    for field in dataclasses.fields(settings):
        if field.name not in without:
            default = {} if field.default is dataclasses.MISSING else field.default
            rule, meaning = field.metadata["rule"], field.metadata["meaning"]
            rows.append([f"`{field.name}`", f"`{default!r}`", rule.expected, meaning])
    return common.markdown_table(["setting", "default", "values", "meaning"], rows)


def draw() -> None:
    """Write the tables."""
    of_data = frozenset(field.name for field in dataclasses.fields(DataSettings))
    common.write_section(PAGE, "training", table(Settings, of_data))
    common.write_section(PAGE, "data", table(DataSettings))
    common.write_section(PAGE, "evaluation", table(EvaluationSettings))
    common.write_section(PAGE, "sweep", table(SweepOptions))
