"""The commands that read, measure and draw runs and data sets."""

import argparse
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from lorae import api
from lorae.api import inspection
from lorae.cli.arguments import DATA_SETTINGS, add_settings, settings_field, settings_of
from lorae.config.evaluation_settings import EvaluationSettings
from lorae.errors import LoraeError
from lorae.reports import comparison
from lorae.runs.run import Run


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add them to the parser of all commands; `add` makes a subparser of a name, a function and a meaning."""
    spectrum = add("spectrum", _spectrum, "spectrum of the latent covariance on test data, and the ranks")
    spectrum.add_argument("run", metavar="RUN")
    spectrum.add_argument("--tolerance", metavar="T", help="share of the largest eigenvalue; 1e-3 by default")

    reconstruct = add("reconstruct", _reconstruct, "picture test items beside their reconstructions")
    reconstruct.add_argument("run", metavar="RUN")
    reconstruct.add_argument("-n", metavar="N", help="how many; 32 by default")

    report = add("report", _report, "write one self-contained HTML page about one or several runs")
    report.add_argument("runs", metavar="RUN", nargs="+")
    report.add_argument("--out", metavar="FILE.html", help="RUN/report.html for one run, else lorae-report.html")
    _add_measuring(add)
    data = add("data", _data, "load a data set and say what is there: counts, shapes, source, checksums")
    data.add_argument("data", metavar="DATA", help=settings_field("data").metadata["meaning"])
    add_settings(data, DATA_SETTINGS)

    add("methods", _methods, "list the methods and the penalties")


def _add_measuring(add: Callable[..., argparse.ArgumentParser]) -> None:
    """The commands that generate from trained runs and measure them."""
    sample = add("sample", _sample, "generate items from a density on the latents of a run")
    sample.add_argument("run", metavar="RUN")
    sample.add_argument("-n", metavar="N", default=64, help="how many (default: 64)")
    sample.add_argument("--sampler", metavar="NAME", help="gaussian, mixture or prior; a Gaussian, for GANs the prior")
    sample.add_argument("--out", metavar="OUT", help="all items as well: an .npy or .npz file, or a new folder of PNGs")
    add_settings(sample, ("components", "fit_on", "seed", "device"), EvaluationSettings)

    interpolate = add("interpolate", _interpolate, "picture the paths between the latents of pairs of test images")
    interpolate.add_argument("run", metavar="RUN")
    interpolate.add_argument("--pairs", metavar="N", help="how many pairs; 6 by default")
    interpolate.add_argument("--between", metavar="I,J", action="append", help="a pair by index; may be repeated")
    interpolate.add_argument("--steps", metavar="N", help="images on a path, ends included; 10 by default")
    interpolate.add_argument("--seed", metavar="SEED", default=0, help="draws the pairs (default: 0)")

    evaluate = add("evaluate", _evaluate, "measure a run: samples, rank, latents; write evaluation.json and the report")
    evaluate.add_argument("run", metavar="RUN")
    evaluate.add_argument(
        "--only",
        metavar="NAMES",
        help="measures with commas between them: reconstruction, rank, dimension, fid, kid, prdc, interpolation, "
        "probe, classification, and supervised, which takes an hour and has to be named; all others by default. The "
        "last two keep what they train in RUN/unfinished-NAME, and the same command goes on from there",
    )
    add_settings(evaluate, [field.name for field in dataclasses.fields(EvaluationSettings)], EvaluationSettings)

    compare = add("compare", _compare, "the numbers of several runs in one table, and one page with their figures")
    compare.add_argument("runs", metavar="RUN", nargs="+")
    compare.add_argument("--out", metavar="FILE.html", help="the page; lorae-report.html by default")

    fid = add("fid", _fid, "Frechet and kernel distance between two folders of images, files of arrays, or data sets")
    fid.add_argument("first", metavar="A", help="a folder or zip file, an .npy or .npz file, or mnist:test")
    fid.add_argument("second", metavar="B")
    add_settings(fid, ("features", "features_weights", "seed", "device"), EvaluationSettings)
    fid.add_argument("--size", metavar="SIZE", help="side in pixels that all images are resized to first")
    fid.add_argument("--skip-bad", action="store_true", help="leave out image files that cannot be decoded")


def _spectrum(options: argparse.Namespace) -> None:
    result = inspection.spectrum(options.run, tolerance=options.tolerance).to_json()
    if options.json:
        print(json.dumps(result))
        return
    print(f"rank {result['rank']} of {len(result['eigenvalues'])} at tolerance {result['tolerance']:g}")
    print(f"on {result['n']:,} {result['split']} items; eigenvalues of the centred latent covariance")
    table = Table("tolerance", "rank", box=None)
    for tolerance, rank in result["ranks"].items():
        table.add_row(tolerance, str(rank))
    table.add_row("99% energy", str(result["energy_99"]))
    table.add_row("entropy", f"{result['entropy_rank']:.1f}")
    table.add_row("stable", f"{result['stable_rank']:.1f}")
    Console().print(table)
    print(f"figure {options.run}/figures/spectrum.png")


def _reconstruct(options: argparse.Namespace) -> None:
    path = inspection.reconstruct(options.run, n=options.n)
    print(json.dumps({"figure": str(path)}) if options.json else path)


def _report(options: argparse.Namespace) -> None:
    path = inspection.write_report(options.runs, options.out)
    print(json.dumps({"report": str(path)}) if options.json else path)


def _sample(options: argparse.Namespace) -> None:
    settings = settings_of(options, EvaluationSettings)
    del settings["n"]
    items = inspection.sample(options.run, options.n, sampler=options.sampler, out=options.out, **settings)
    sampler = options.sampler or inspection.default_sampler(Run(options.run))
    figure = f"{options.run}/figures/samples-{sampler}.png"
    if options.json:
        print(json.dumps({"figure": figure, "n": len(items), "out": options.out}))
        return
    print(figure)
    if options.out is not None:
        print(f"{len(items):,} items in {options.out}")


def _interpolate(options: argparse.Namespace) -> None:
    pairs: Any = options.pairs
    if options.between is not None:
        pairs = [_pair(words) for words in options.between]
    paths = inspection.interpolate(options.run, pairs=pairs, steps=options.steps, seed=options.seed)
    figures = [f"{options.run}/figures/interpolation-{name}.png" for name in paths]
    print(json.dumps({"figures": figures}) if options.json else "\n".join(figures))


def _pair(words: str) -> tuple[str, str]:
    parts = words.split(",")
    if len(parts) != 2:
        raise LoraeError(f"between: got {words!r}, expected two indices with a comma, as in 0,7")
    return parts[0], parts[1]


def _evaluate(options: argparse.Namespace) -> None:
    result = inspection.evaluate(options.run, only=options.only, **settings_of(options, EvaluationSettings))
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
    rows = inspection.compare(options.runs, options.out)
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
    result = inspection.fid(options.first, options.second, size=options.size, skip_bad=options.skip_bad, **settings)
    if options.json:
        print(json.dumps(result))
        return
    kid = result["kid"]
    print(f"FID         {result['fid']:.4f}")
    print(f"KID         {kid['mean']:.6f} (sd {kid['sd']:.6f} over {kid['subsets']} subsets)")
    print(f"items       {result['n'][0]:,} and {result['n'][1]:,}")
    print(f"features    {result['protocol']['features']} ({result['protocol']['weights']})")


def _data(options: argparse.Namespace) -> None:
    described = api.load_data(options.data, **settings_of(options)).describe()
    if options.json:
        print(json.dumps(described))
        return
    table = Table.grid(padding=(0, 2))
    for name, value in described.items():
        table.add_row(name.replace("_", " "), _as_text(value))
    Console(soft_wrap=True).print(table)


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key} {_as_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return " x ".join(map(str, value))
    if isinstance(value, int):
        return f"{value:,}"
    return "none" if value is None else str(value)


def _methods(options: argparse.Namespace) -> None:
    rows = api.list_methods()
    if options.json:
        print(json.dumps(rows))
        return
    for kind in ("method", "penalty"):
        table = Table(kind, "what it is", "source", box=None)
        for row in rows:
            if row["kind"] == kind:
                table.add_row(row["name"], row["summary"], row["source"])
        Console(soft_wrap=True).print(table)
