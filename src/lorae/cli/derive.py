"""Commands that make items, codes, models and files from a run."""

import argparse
from collections.abc import Callable
from typing import Any

from lorae import api
from lorae.api.export import FORMATS, exported_width
from lorae.api.generation import default_sampler
from lorae.api.truncation import describe_truncation, explain_width
from lorae.api.writing import csv_lines
from lorae.cli.arguments import add_moved_data, add_settings, run_of, settings_of
from lorae.cli.completion import suggest
from lorae.cli.output import Output, error_text, existing, table
from lorae.config.data_settings import FILES_OF_ITEMS
from lorae.config.evaluation_settings import SAMPLER_NAMES, EvaluationSettings
from lorae.errors import LoraeError
from lorae.runs.run import Run


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `add(name, function, meaning)` makes a subparser."""
    meaning = "draw latents from a density fitted to the latents of a run, and decode them"
    sample = add("sample", _sample, meaning, "run")
    sample.add_argument("-n", "--n", metavar="N", default=64, help="number of items (default: 64)")
    meaning = "gaussian (default), mixture or prior (default for GANs)"
    suggest(sample.add_argument("--sampler", metavar="NAME", help=meaning), SAMPLER_NAMES)
    meaning_of_out = "new .npy or .npz file, new folder of PNGs, or .csv file of vectors, for all items"
    sample.add_argument("--out", metavar="OUT", help=meaning_of_out)
    add_settings(sample, ("components", "fit_on", "seed", "device"), EvaluationSettings)
    add_moved_data(sample)

    interpolate = add("interpolate", _interpolate, "draw paths between the latents of pairs of test images", "run")
    interpolate.add_argument("--pairs", metavar="N", help="number of pairs; 6 by default")
    interpolate.add_argument("--between", metavar="I,J", action="append", help="a pair by index; may be repeated")
    interpolate.add_argument("--steps", metavar="N", help="images on a path, including both ends; 10 by default")
    interpolate.add_argument("--seed", metavar="SEED", default=0, help="seed of the random pairs (default: 0)")
    interpolate.add_argument("--out", metavar="FOLDER", help="new folder for the figures; RUN/figures by default")
    add_moved_data(interpolate)

    encode = add("encode", _encode, "encode items of your own; the data of the run are not needed", "run")
    encode.add_argument("items", metavar="FILE", help=FILES_OF_ITEMS)
    encode.add_argument("--out", metavar="OUT", help="new .npy, .npz or .csv file; without it, codes are printed")
    add_settings(encode, ("device",), EvaluationSettings)

    decode = add("decode", _decode, "decode codes; the data of the run are not needed", "run")
    decode.add_argument("codes", metavar="FILE", help="an .npy, .npz, .csv or .parquet file, (n, latent_dim)")
    decode.add_argument("--out", metavar="OUT", help=f"{meaning_of_out}; without it, vectors are printed")
    add_settings(decode, ("device",), EvaluationSettings)

    meaning = "truncate the latent of a run to its leading principal axes, as a new run"
    truncate = add("truncate", _truncate, meaning, "run")
    truncate.add_argument(
        "--rank", metavar="R", help="number of principal axes to keep; all directions of M by default"
    )
    truncate.add_argument("--out", metavar="RUN2", help="the new run folder; RUN-rank<r> or RUN-width<w> by default")
    add_moved_data(truncate)

    exported = add("export", _export, "write the model of a run, without M, for use in other programs", "run")
    meaning = "file format (default: safetensors)"
    placeholder = f"{{{','.join(FORMATS)}}}"
    suggest(exported.add_argument("--format", metavar=placeholder, default="safetensors", help=meaning), FORMATS)
    exported.add_argument("--out", metavar="FOLDER", help="a new folder; RUN-<format> by default")
    exported.add_argument("--rank", metavar="R", help="number of principal axes to keep, as in `lorae truncate`")
    add_moved_data(exported)


def _sample(options: argparse.Namespace) -> Output:
    settings = settings_of(options, EvaluationSettings)
    del settings["n"]
    items = api.sample(
        run_of(options), options.n, sampler=options.sampler, out=options.out, data=options.data, **settings
    )
    figure = f"{options.run}/figures/samples-{options.sampler or default_sampler(Run(options.run))}.png"
    written = [] if options.out is None else [f"{len(items):,} items in {options.out}"]
    return {"figure": figure, "n": len(items), "out": options.out}, [*existing(figure), *written]


def _interpolate(options: argparse.Namespace) -> Output:
    pairs: Any = options.pairs
    if options.between is not None:
        pairs = [_pair(words) for words in options.between]
    given = {name: getattr(options, name) for name in ("steps", "seed", "out", "data")}
    folder = options.out or f"{options.run}/figures"
    figures = [f"{folder}/interpolation-{name}.png" for name in api.interpolate(run_of(options), pairs=pairs, **given)]
    return {"figures": figures}, figures


def _encode(options: argparse.Namespace) -> Output:
    codes = api.encode(run_of(options), options.items, out=options.out, **settings_of(options, EvaluationSettings))
    return _rows(codes, "codes", options.out)


def _decode(options: argparse.Namespace) -> Output:
    items = api.decode(run_of(options), options.codes, out=options.out, **settings_of(options, EvaluationSettings))
    return _rows(items, "items", options.out)


def _rows(rows: Any, name: str, out: str | None) -> Output:
    """Return the output of a command that makes rows: where they are, or the rows themselves."""
    record = {"n": len(rows), "shape": list(rows.shape[1:]), "out": out}
    if out is None:
        return record | {name: rows.tolist()}, csv_lines(rows)
    return record, [f"{len(rows):,} {name} in {out}"]


def _pair(words: str) -> tuple[str, str]:
    parts = words.split(",")
    if len(parts) != 2:
        raise LoraeError(f"between: got {words!r}, expected two indices with a comma, as in 0,7")
    return parts[0], parts[1]


def _truncate(options: argparse.Namespace) -> Output:
    run = api.truncate(run_of(options), options.rank, options.out, data=options.data)
    result = describe_truncation(run)
    columns = [_sizes(result["before"]), _sizes(result["after"])]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    heading = explain_width(Run(options.run), result["rank"])
    return result, [heading, table(rows, "", "before", "after"), f"run {run.path}"]


def _sizes(side: dict[str, Any]) -> dict[str, str]:
    parameters = {f"{part} parameters": f"{count:,}" for part, count in side["parameters"].items()}
    return {**parameters, "model.safetensors": f"{side['bytes']:,} bytes", "test error": error_text(side["test_mse"])}


def _export(options: argparse.Namespace) -> Output:
    folder = api.export_run(run_of(options), options.format, out=options.out, rank=options.rank, data=options.data)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    width = exported_width(folder)
    shown = [explain_width(Run(options.run), width), *(f"{folder / name} ({n:,} bytes)" for name, n in files.items())]
    return {"run": options.run, "folder": str(folder), "width": width, "files": files}, shown
