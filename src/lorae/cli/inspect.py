"""Commands that measure and draw runs: spectrum, reconstruct, report, evaluate, compare, fid."""

import argparse
import dataclasses
import json
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from lorae import api
from lorae.cli.arguments import add_settings, settings_of
from lorae.config.evaluation_settings import EvaluationSettings
from lorae.reports import comparison
from lorae.runs.run import Run


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `add(name, function, meaning)` makes a subparser."""
    spectrum = add("spectrum", _spectrum, "measure the spectrum of the latent covariance and the rank on test data")
    spectrum.add_argument("run", metavar="RUN")
    spectrum.add_argument(
        "--tolerance", metavar="T", help="share of the largest eigenvalue that counts; 1e-3 by default"
    )

    reconstruct = add("reconstruct", _reconstruct, "draw test items and their reconstructions")
    reconstruct.add_argument("run", metavar="RUN")
    reconstruct.add_argument("-n", "--n", metavar="N", help="number of test items; 32 by default")

    report = add("report", _report, "write one self-contained HTML page about one or several runs")
    report.add_argument("runs", metavar="RUN", nargs="+")
    report.add_argument(
        "--out", metavar="FILE.html", help="the page; RUN/report.html by default, lorae-report.html for several runs"
    )

    evaluate = add("evaluate", _evaluate, "measure a run, and write evaluation.json and the report")
    evaluate.add_argument("run", metavar="RUN")
    evaluate.add_argument(
        "--only",
        metavar="NAMES",
        help="measures, comma-separated: reconstruction, rank, explained, dimension, fid, kid, prdc, interpolation, "
        "probe, classification, supervised (takes an hour); all but supervised by default. If interrupted, "
        "classification and supervised keep their trainings in RUN/unfinished-NAME; the same command continues them",
    )
    add_settings(evaluate, [field.name for field in dataclasses.fields(EvaluationSettings)], EvaluationSettings)

    compare = add("compare", _compare, "print the numbers of several runs, and write one page with their figures")
    compare.add_argument("runs", metavar="RUN", nargs="+")
    compare.add_argument("--out", metavar="FILE.html", help="the page; lorae-report.html by default")

    fid = add(
        "fid",
        _fid,
        "compute the Frechet and kernel distance between two collections of images or arrays",
    )
    fid.add_argument("first", metavar="A", help="a folder or zip file, an .npy or .npz file, or mnist:test")
    fid.add_argument("second", metavar="B")
    add_settings(fid, ("features", "features_weights", "seed", "device"), EvaluationSettings)
    fid.add_argument("--size", metavar="SIZE", help="side in pixels to which all images are resized first")
    fid.add_argument("--skip-bad", action="store_true", help="leave out image files that cannot be decoded")


def _spectrum(options: argparse.Namespace) -> None:
    result = api.spectrum(options.run, tolerance=options.tolerance).to_json()
    if options.json:
        print(json.dumps(result))
        return
    print(f"rank {result['rank']} of {len(result['eigenvalues'])} at tolerance {result['tolerance']:g}")
    print(f"on {result['n']:,} {result['split']} items; eigenvalues of the centered latent covariance")
    table = Table("tolerance", "rank", box=None)
    for tolerance, rank in result["ranks"].items():
        table.add_row(tolerance, str(rank))
    table.add_row("99% energy", str(result["energy_99"]))
    table.add_row("entropy", f"{result['entropy_rank']:.1f}")
    table.add_row("stable", f"{result['stable_rank']:.1f}")
    Console().print(table)
    print(f"figure {options.run}/figures/spectrum.png")


def _reconstruct(options: argparse.Namespace) -> None:
    path = api.reconstruct(options.run, n=options.n)
    print(json.dumps({"figure": str(path)}) if options.json else path)


def _report(options: argparse.Namespace) -> None:
    path = api.write_report(options.runs, options.out)
    print(json.dumps({"report": str(path)}) if options.json else path)


def _evaluate(options: argparse.Namespace) -> None:
    result = api.evaluate(options.run, only=options.only, **settings_of(options, EvaluationSettings))
    if options.json:
        print(json.dumps(result))
        return
    (row,) = comparison.rows([Run(options.run)])
    table = Table.grid(padding=(0, 2))
    for column in comparison.shown_columns([row]):
        table.add_row(column.title, column.show(row[column.key]))
    Console(soft_wrap=True).print(table)
    print(f"report      {options.run}/report.html")


def _compare(options: argparse.Namespace) -> None:
    rows = api.compare(options.runs, options.out)
    if options.json:
        print(json.dumps({"runs": rows}))
        return
    table = Table("", *(row["run"] for row in rows), box=None)
    for column in comparison.shown_columns(rows):
        table.add_row(column.title, *comparison.marked_cells(rows, column))
    Console(soft_wrap=True).print(table)
    print("* the best of a row")
    if not comparison.one_protocol(rows):
        print("These runs were measured on different data or with different networks: distances do not compare.")
    print(f"page        {options.out or 'lorae-report.html'}")


def _fid(options: argparse.Namespace) -> None:
    settings = settings_of(options, EvaluationSettings)
    result = api.fid(options.first, options.second, size=options.size, skip_bad=options.skip_bad, **settings)
    if options.json:
        print(json.dumps(result))
        return
    kid = result["kid"]
    print(f"FID         {result['fid']:.4f}")
    print(f"KID         {kid['mean']:.6f} (sd {kid['sd']:.6f} over {kid['subsets']} subsets)")
    print(f"items       {result['n'][0]:,} and {result['n'][1]:,}")
    print(f"features    {result['protocol']['features']} ({result['protocol']['weights']})")
