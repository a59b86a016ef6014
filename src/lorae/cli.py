"""The command line: words parsed, one call that Python users make too, its result printed."""

import argparse
import dataclasses
import difflib
import json
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from lorae import __version__, api, comparison, inspection, paper_cli, smaller_cli, training_cli
from lorae.errors import LoraeError, LoraeWarning
from lorae.evaluation.settings import EvaluationSettings
from lorae.methods import TERMS, option_names
from lorae.penalties import all_penalties
from lorae.runs import Run
from lorae.settings import Settings

# The settings of the data, which `lorae data` takes as well.
DATA_SETTINGS = (
    "data_root",
    "limit",
    "size",
    "crop",
    "channels",
    "factors",
    "test_fraction",
    "split_seed",
    "holdout",
    "skip_bad",
)


def _weights() -> dict[str, str]:
    summaries = {penalty.name: penalty.summary for penalty in all_penalties().values()}
    return {name: f"weight of: {summary}" for name, summary in (summaries | TERMS).items()}


# Settings that are mappings: a flag for each part, with what it means.
PARTS: dict[str, Callable[[], dict[str, str]]] = {
    "penalties": _weights,
    "bottleneck": lambda: {name: f"{name} of the method's bottleneck, where it has one" for name in option_names()},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 2 for bad input (one line on standard error), 130 when interrupted."""
    from_user = list(sys.argv[1:] if arguments is None else arguments)
    parser = build_parser()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", LoraeWarning)
            warnings.showwarning = _show_warning
            options = parser.parse_args(_join_negative_numbers(from_user))
            options.command(options)
    except LoraeError as error:
        print(f"lorae: {_in_flags(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"lorae: interrupted {interrupt}".rstrip(), file=sys.stderr)
        return 130
    return 0


def _in_flags(message: str) -> str:
    """A message that calls a value by its argument, by its flag."""
    return re.sub(r"\(from argument (\w+)\)", lambda found: f"(from --{found[1].replace('_', '-')})", message)


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any
) -> None:
    """A warning of ours as one line; any other names its place in the code, as Python does."""
    if isinstance(message, LoraeWarning):
        print(f"lorae: warning: {message}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno), file=sys.stderr, end="")


class _Parser(argparse.ArgumentParser):
    """One line for a mistake, through the same door as every other bad input."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(unknown[1].split("=")[0], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"see `{self.prog} --help`"
            message = f"{unknown[1]}: unknown option of `{self.prog}`; {hint}"
        raise LoraeError(message)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # A subcommand reports its own unknown options, so that the hint comes from its own list.
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; the flags of training are the fields of `Settings`."""
    parser = _Parser(prog="lorae", description="Autoencoders that find their own latent dimension.")
    parser.add_argument("--version", action="version", version=f"lorae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, command: Callable[[Any], None], meaning: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=meaning, description=meaning, allow_abbrev=False)
        sub.set_defaults(command=command)
        sub.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        return sub

    train = add("train", _train, "train a method on data into a new run folder")
    train.add_argument("data", metavar="DATA", help=_field("data").metadata["meaning"])
    train.add_argument("--out", metavar="RUN", help="the run folder; runs/DATA-METHOD-PENALTY by default")
    train.add_argument("--config", metavar="FILE.yaml", help="settings from a file; flags win over it")
    train.add_argument("--dry-run", action="store_true", help="print the resolved config and stop")
    _add_settings(train, [field.name for field in dataclasses.fields(Settings) if field.name != "data"])

    resume = add("resume", _resume, "continue an interrupted run from its last checkpoint")
    resume.add_argument("run", metavar="RUN")

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
    smaller_cli.add_commands(add)
    paper_cli.add_commands(add)

    data = add("data", _data, "load a data set and say what is there: counts, shapes, source, checksums")
    data.add_argument("data", metavar="DATA", help=_field("data").metadata["meaning"])
    _add_settings(data, DATA_SETTINGS)

    add("methods", _methods, "list the methods and the penalties")
    return parser


def _add_measuring(add: Callable[..., argparse.ArgumentParser]) -> None:
    """The commands that generate from trained runs and measure them."""
    sample = add("sample", _sample, "generate items from a density on the latents of a run")
    sample.add_argument("run", metavar="RUN")
    sample.add_argument("-n", metavar="N", default=64, help="how many (default: 64)")
    sample.add_argument("--sampler", metavar="NAME", help="gaussian, mixture or prior; a Gaussian, for GANs the prior")
    sample.add_argument("--out", metavar="OUT", help="all items as well: an .npy or .npz file, or a new folder of PNGs")
    _add_settings(sample, ("components", "fit_on", "seed", "device"), EvaluationSettings)

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
    _add_settings(evaluate, [field.name for field in dataclasses.fields(EvaluationSettings)], EvaluationSettings)

    compare = add("compare", _compare, "the numbers of several runs in one table, and one page with their figures")
    compare.add_argument("runs", metavar="RUN", nargs="+")
    compare.add_argument("--out", metavar="FILE.html", help="the page; lorae-report.html by default")

    fid = add("fid", _fid, "Frechet and kernel distance between two folders of images, files of arrays, or data sets")
    fid.add_argument("first", metavar="A", help="a folder or zip file, an .npy or .npz file, or mnist:test")
    fid.add_argument("second", metavar="B")
    _add_settings(fid, ("features", "features_weights", "seed", "device"), EvaluationSettings)
    fid.add_argument("--size", metavar="SIZE", help="side in pixels that all images are resized to first")
    fid.add_argument("--skip-bad", action="store_true", help="leave out image files that cannot be decoded")


def _field(name: str) -> "dataclasses.Field[Any]":
    return Settings.__dataclass_fields__[name]


def _add_settings(parser: argparse.ArgumentParser, names: Sequence[str], table: type[Any] = Settings) -> None:
    """A flag for each setting of a table, which checks the values: they stay strings. Absent flags leave no trace."""
    group = parser.add_argument_group("settings")
    for name in names:
        field = table.__dataclass_fields__[name]
        if name in PARTS:
            for part, meaning in PARTS[name]().items():
                text = meaning.replace("%", "%%")
                group.add_argument(f"--{name}.{part}", metavar="W", default=argparse.SUPPRESS, help=text)
            continue
        rule, default = field.metadata["rule"], field.default
        words = ",".join(default) if isinstance(default, tuple) else default
        shown = "" if default is None or default is False else f" (default: {words})"
        options: dict[str, Any] = {
            "dest": name,
            "default": argparse.SUPPRESS,
            "help": f"{field.metadata['meaning']}{shown}".replace("%", "%%"),
        }
        if default is False:
            options["action"] = "store_true"
        else:
            options["metavar"] = "{" + ",".join(rule.choices) + "}" if rule.choices else name.upper()
        group.add_argument(f"--{name.replace('_', '-')}", **options)


def _settings_of(options: argparse.Namespace, table: type[Any] = Settings) -> dict[str, Any]:
    given = vars(options)
    settings = {field.name: given[field.name] for field in dataclasses.fields(table) if field.name in given}
    settings.pop("data", None)
    for name in PARTS:
        parts = {key.split(".", 1)[1]: value for key, value in given.items() if key.startswith(f"{name}.")}
        settings |= {name: parts} if parts else {}
    return settings


def _join_negative_numbers(words: Sequence[str]) -> list[str]:
    """`--penalty -1e-3` as `--penalty=-1e-3`: argparse would take the number for an option and not say which value."""
    joined: list[str] = []
    for word in words:
        if re.match(r"-(\d|\.\d|inf|nan)", word) and joined and re.match(r"--?[a-z][^=]*$", joined[-1]):
            joined[-1] += f"={word}" if joined[-1].startswith("--") else word
        else:
            joined.append(word)
    return joined


def _train(options: argparse.Namespace) -> None:
    arguments = {"out": options.out, "config": options.config, **_settings_of(options)}
    if options.dry_run:
        print(json.dumps(api.plan(options.data, **arguments), indent=2))
        return
    training_cli.finish(lambda: api.train(options.data, **arguments), as_json=options.json)


def _resume(options: argparse.Namespace) -> None:
    training_cli.finish(lambda: api.resume(options.run), as_json=options.json)


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
    settings = _settings_of(options, EvaluationSettings)
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
    result = inspection.evaluate(options.run, only=options.only, **_settings_of(options, EvaluationSettings))
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
    settings = _settings_of(options, EvaluationSettings)
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
    described = api.load_data(options.data, **_settings_of(options)).describe()
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
