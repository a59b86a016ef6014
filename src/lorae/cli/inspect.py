"""Commands that describe and measure: data, methods, spectrum, reconstruct, report, explore, evaluate, compare, fid."""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

from rich.table import Table

from lorae import api
from lorae.cli.arguments import DATA_SETTINGS, MEANING_OF_DATA, add_moved_data, add_settings, run_of, settings_of
from lorae.cli.completion import suggest
from lorae.cli.output import Output, existing, table
from lorae.config.data_settings import FILES_OF_ITEMS
from lorae.config.datasets import DATASETS
from lorae.config.evaluation_settings import MEASURE_NAMES, EvaluationSettings
from lorae.explorer.server import HOST, PORT, explore
from lorae.reports import comparison
from lorae.sweeps import write_report as write_sweep_report
from lorae.sweeps.definition import SweepFolder

PAGE = "lorae-report.html"


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `add(name, function, meaning)` makes a subparser."""
    data = add("data", _data, "load a data set and print its counts, shapes, source and checksums")
    suggest(data.add_argument("data", metavar="DATA", help=MEANING_OF_DATA), DATASETS)
    add_settings(data, DATA_SETTINGS)
    add("methods", _methods, "list the methods and the penalties")

    meaning = "measure the spectrum of the latent covariance and the rank on test data"
    spectrum = add("spectrum", _spectrum, meaning, "run")
    spectrum.add_argument("--tolerance", metavar="T", help="counted share of the largest eigenvalue; 1e-3 by default")
    add_moved_data(spectrum)

    reconstruct = add("reconstruct", _reconstruct, "draw test items and their reconstructions", "run")
    reconstruct.add_argument("-n", "--n", metavar="N", help="number of items; 32 by default")
    add_moved_data(reconstruct, f"items to reconstruct: {FILES_OF_ITEMS}; by default test items")
    reconstruct.add_argument("--out", metavar="FILE.png", help="the figure; in RUN/figures by default")

    report = add("report", _report, "write one self-contained HTML page about one or several runs, or a sweep", "runs")
    report.add_argument("--out", metavar="FILE.html", help=f"the page; RUN/report.html, or {PAGE} for several runs")

    explore = add("explore", _explore, "serve a page in which a run is explored, until Ctrl-C", "run")
    meaning = "address that the server listens to; any other than of the loopback lets other machines use the run"
    explore.add_argument("--host", metavar="HOST", default=HOST, help=f"{meaning} (default: {HOST})")
    explore.add_argument("--port", metavar="PORT", help=f"port, 0 for a free one; {PORT} by default, if it is free")
    explore.add_argument("--open", action="store_true", help="open the page in the browser")
    add_moved_data(explore)

    evaluate = add("evaluate", _evaluate, "measure a run, and write evaluation.json and the report", "run")
    evaluate.set_defaults(joint=True)
    only = evaluate.add_argument(
        "--only",
        metavar="NAMES",
        help=f"measures, comma-separated: {', '.join(MEASURE_NAMES)} (takes an hour); all but supervised by default. "
        "If interrupted, classification and supervised keep their trainings in RUN/unfinished-NAME; the same command "
        "continues them",
    )
    suggest(only, MEASURE_NAMES, several=True)
    add_settings(evaluate, [field.name for field in dataclasses.fields(EvaluationSettings)], EvaluationSettings)

    add_moved_data(evaluate)

    meaning = "print the numbers of several runs, and write one page with their figures"
    compare = add("compare", _compare, meaning, "runs")
    compare.add_argument("--out", metavar="FILE.html", help=f"the page; {PAGE} by default")

    meaning = "compute Frechet and kernel distances between two collections of items"
    fid = add("fid", _fid, meaning)
    splits = [f"{name}:{split}" for name in DATASETS for split in ("train", "test")]
    suggest(fid.add_argument("first", metavar="A", help=f"{FILES_OF_ITEMS}, or mnist:test"), splits)
    suggest(fid.add_argument("second", metavar="B", help="the other collection"), splits)
    add_settings(fid, ("features", "features_weights", "seed", "device"), EvaluationSettings)
    fid.add_argument("--size", metavar="SIZE", help="side in pixels to which all images are resized first")
    fid.add_argument("--value-range", metavar="LOW:HIGH", help="values of black and white in both collections")
    fid.add_argument("--skip-bad", action="store_true", help="leave out image files that cannot be decoded")


def _data(options: argparse.Namespace) -> Output:
    described = api.load_data(options.data, **settings_of(options)).describe()
    return described, [table((name.replace("_", " "), _as_text(value)) for name, value in described.items())]


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key} {_as_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return (" x " if all(isinstance(part, int) for part in value) else "\n").join(map(str, value)) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else str(value)


def _methods(_: argparse.Namespace) -> Output:
    listed = api.list_methods()

    def of_kind(kind: str) -> Table:
        rows = ((row["name"], row["summary"], row["source"]) for row in listed if row["kind"] == kind)
        return table(rows, kind, "what it is", "source")

    return listed, [of_kind("method"), of_kind("penalty")]


def _spectrum(options: argparse.Namespace) -> Output:
    result = api.spectrum(run_of(options), tolerance=options.tolerance, data=options.data).to_json()
    others = [
        ("99% energy", result["energy_99"]),
        ("entropy", f"{result['entropy_rank']:.1f}"),
        ("stable", f"{result['stable_rank']:.1f}"),
    ]
    return result, [
        f"rank {result['rank']} of {len(result['eigenvalues'])} at tolerance {result['tolerance']:g}",
        f"on {result['n']:,} {result['split']} items; eigenvalues of the centered latent covariance",
        table([*result["ranks"].items(), *others], "tolerance", "rank"),
        *existing(f"{options.run}/figures/spectrum.png", "figure "),
    ]


def _reconstruct(options: argparse.Namespace) -> Output:
    path = str(api.reconstruct(run_of(options), n=options.n, out=options.out, data=options.data))
    return {"figure": path}, [path]


def _report(options: argparse.Namespace) -> Output:
    if len(options.runs) == 1 and SweepFolder(options.runs[0]).exists:
        path = str(write_sweep_report(options.runs[0], options.out))
    else:
        path = str(api.write_report(options.runs, options.out))
    return {"report": path}, [path]


def _explore(options: argparse.Namespace) -> Output:
    given = {name: getattr(options, name) for name in ("host", "port", "data")}
    return {"address": explore(run_of(options), open_browser=options.open, **given)}, []


def _evaluate(options: argparse.Namespace) -> Output:
    run = run_of(options)  # it holds the results that its folder does not take
    result = api.evaluate(run, only=options.only, data=options.data, **settings_of(options, EvaluationSettings))
    (row,) = comparison.rows([run])
    cells = [(column.title, column.show(row[column.key])) for column in comparison.shown_columns([row])]
    skipped = [f"skipped     {name}: {reason}" for name, reason in result.get("skipped", {}).items()]
    return result, [table(cells), *skipped, *existing(f"{options.run}/report.html", "report      ")]


def _compare(options: argparse.Namespace) -> Output:
    rows = api.compare(options.runs, options.out)
    cells = [(column.title, *comparison.marked_cells(rows, column)) for column in comparison.shown_columns(rows)]
    shown: list[str | Table] = [table(cells, "", *(row["run"] for row in rows)), "* the best of a row"]
    if not comparison.one_protocol(rows):
        shown.append("These runs were measured on different data or with different networks: distances do not compare.")
    return {"runs": rows}, [*shown, f"page        {options.out or PAGE}"]


def _fid(options: argparse.Namespace) -> Output:
    settings = settings_of(options, EvaluationSettings)
    settings |= {"size": options.size, "value_range": options.value_range, "skip_bad": options.skip_bad}
    result = api.fid(options.first, options.second, **settings)
    kid, protocol = result["kid"], result["protocol"]
    return result, [
        f"FID         {result['fid']:.4f}",
        f"KID         {kid['mean']:.6f} (sd {kid['sd']:.6f} over {kid['subsets']} subsets)",
        f"CMMD        {result['cmmd']['value']:.6f}",
        f"items       {result['n'][0]:,} and {result['n'][1]:,}",
        f"features    {protocol['features']} ({protocol['weights']})",
    ]
