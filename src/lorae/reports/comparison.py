"""Table that compares runs: its columns, and where in `evaluation.json` their values are. Imports no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lorae.runs.run import Run
from lorae.system.records import check_type


@dataclass(frozen=True)
class Column:
    """A column: its key in the output of `--json`, its title, and the path of its value in `evaluation.json`.

    The smallest value is the best one if `lower_is_better`; None if neither end is. `show` formats a value.
    """

    key: str
    title: str
    path: tuple[str, ...]
    lower_is_better: bool | None = None
    show: Callable[[float], str] = "{:.4g}".format


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


COLUMNS = (
    Column("rank", "rank", ("rank", "rank"), None, "{:.0f}".format),
    Column("test_mse", "test MSE", ("reconstruction", "mse"), True),
    Column("explained", "explained variance", ("explained", "model"), False, _percent),
    Column("explained_by_pca", "explained by PCA of this rank", ("explained", "pca"), None, _percent),
    Column("fid_gaussian", "FID, Gaussian", ("fid", "gaussian", "value"), True, "{:.1f}".format),
    Column("fid_mixture", "FID, mixture", ("fid", "mixture", "value"), True, "{:.1f}".format),
    Column("fid_prior", "FID, prior", ("fid", "prior", "value"), True, "{:.1f}".format),
    Column("fid_reconstructions", "FID, reconstructions", ("fid", "reconstructions", "value"), True, "{:.2f}".format),
    Column("fid_floor", "FID, floor", ("fid", "floor", "value"), None, "{:.2f}".format),
    Column("fid_midpoints", "FID, midpoints", ("interpolation", "value"), True, "{:.1f}".format),
    Column("kid_gaussian", "KID, Gaussian", ("kid", "gaussian", "mean"), True),
    Column("kid_mixture", "KID, mixture", ("kid", "mixture", "mean"), True),
    Column("cmmd_gaussian", "CMMD, Gaussian", ("cmmd", "gaussian", "value"), True),
    Column("cmmd_mixture", "CMMD, mixture", ("cmmd", "mixture", "value"), True),
    Column("precision", "precision, Gaussian", ("prdc", "gaussian", "precision"), False, "{:.3f}".format),
    Column("recall", "recall, Gaussian", ("prdc", "gaussian", "recall"), False, "{:.3f}".format),
    Column("density", "density, Gaussian", ("prdc", "gaussian", "density"), False, "{:.3f}".format),
    Column("coverage", "coverage, Gaussian", ("prdc", "gaussian", "coverage"), False, "{:.3f}".format),
    Column("two_nn", "intrinsic dimension of latents", ("dimension", "two_nn", "latents"), None, "{:.1f}".format),
    Column("logistic", "logistic regression", ("probe", "logistic", "all", "mean"), False, _percent),
    Column("neighbours", "nearest neighbours", ("probe", "knn", "all", "mean"), False, _percent),
    *(
        Column(f"accuracy_{n}", f"accuracy, {n} labels", ("classification", n, "mean"), False, _percent)
        for n in ("10", "100", "1000", "10000", "all")
    ),
)

# Paths in `evaluation.json` of the protocols that name the network of a distance.
COMPARING = (
    *((name, "floor", "protocol") for name in ("fid", "kid", "cmmd", "prdc")),
    ("interpolation", "protocol"),
)


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a row for each run: some settings, the values of `COLUMNS` that it has, and the networks of distances."""
    table = []
    for run in runs:
        evaluation, settings = run.evaluation(), run.config["settings"]
        row = {"run": str(run.path)} | {name: settings.get(name) for name in ("data", "method", "penalties")}
        values = {column.key: _number_at(evaluation, column.path, run) for column in COLUMNS}
        row |= {key: value for key, value in values.items() if value is not None}
        protocols = [found for path in COMPARING if isinstance(found := lookup(evaluation, path), dict)]
        networks = {f"{protocol.get('features')} {protocol.get('weights')}" for protocol in protocols}
        if networks:
            row["features"] = ", ".join(sorted(networks))
        table.append(row)
    return table


def shown_columns(table: Sequence[dict[str, Any]]) -> list[Column]:
    """Return the columns that at least one run has a value for."""
    return [column for column in COLUMNS if any(column.key in row for row in table)]


def best(table: Sequence[dict[str, Any]], column: Column) -> Any:
    """Return the best value of a column; None if there is no better end, or only one run has a value."""
    values = [row[column.key] for row in table if column.key in row]
    if column.lower_is_better is None or len(values) < 2:
        return None
    return min(values) if column.lower_is_better else max(values)


def marked_cells(table: Sequence[dict[str, Any]], column: Column) -> list[str]:
    """Return the cells of a column as text, with a star at the best value; a missing value is empty."""
    top = best(table, column)
    return [
        column.show(row[column.key]) + (" *" if row[column.key] == top else "") if column.key in row else ""
        for row in table
    ]


def one_protocol(table: Sequence[dict[str, Any]]) -> bool:
    """Return whether all distances were measured on one data set with one network."""
    return len({(row["data"], row["features"]) for row in table if "features" in row}) < 2


def _number_at(evaluation: dict[str, Any], path: Sequence[str], run: Run) -> float | None:
    """Return the number at a path of `evaluation.json`, or None; RecordError for any other value."""
    found = lookup(evaluation, path)
    if not isinstance(found, float):  # which may be NaN, as an intrinsic dimension without neighbors
        check_type(found, float | None, f"{run.path / 'evaluation.json'}: {'.'.join(path)}")
    number: float | None = found
    return number


def lookup(values: Any, path: Sequence[str]) -> Any:
    """Return the value at a path of keys, or None."""
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values
