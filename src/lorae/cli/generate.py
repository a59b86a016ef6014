"""Commands that generate items with a run: sample, interpolate."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from lorae import api
from lorae.api.generation import default_sampler
from lorae.cli.arguments import add_settings, settings_of
from lorae.config.evaluation_settings import EvaluationSettings
from lorae.errors import LoraeError
from lorae.runs.run import Run


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `add(name, function, meaning)` makes a subparser."""
    sample = add("sample", _sample, "draw latents from a density fitted to the latents of a run, and decode them")
    sample.add_argument("run", metavar="RUN")
    sample.add_argument("-n", "--n", metavar="N", default=64, help="number of items (default: 64)")
    sample.add_argument("--sampler", metavar="NAME", help="gaussian (default), mixture or prior (default for GANs)")
    sample.add_argument("--out", metavar="OUT", help="new .npy or .npz file, or new folder of PNGs, for all items")
    add_settings(sample, ("components", "fit_on", "seed", "device"), EvaluationSettings)

    interpolate = add("interpolate", _interpolate, "draw paths between the latents of pairs of test images")
    interpolate.add_argument("run", metavar="RUN")
    interpolate.add_argument("--pairs", metavar="N", help="number of pairs; 6 by default")
    interpolate.add_argument("--between", metavar="I,J", action="append", help="a pair by index; may be repeated")
    interpolate.add_argument("--steps", metavar="N", help="images on a path, including both ends; 10 by default")
    interpolate.add_argument("--seed", metavar="SEED", default=0, help="seed of the random pairs (default: 0)")


def _sample(options: argparse.Namespace) -> None:
    settings = settings_of(options, EvaluationSettings)
    del settings["n"]
    items = api.sample(options.run, options.n, sampler=options.sampler, out=options.out, **settings)
    sampler = options.sampler or default_sampler(Run(options.run))
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
    paths = api.interpolate(options.run, pairs=pairs, steps=options.steps, seed=options.seed)
    figures = [f"{options.run}/figures/interpolation-{name}.png" for name in paths]
    print(json.dumps({"figures": figures}) if options.json else "\n".join(figures))


def _pair(words: str) -> tuple[str, str]:
    parts = words.split(",")
    if len(parts) != 2:
        raise LoraeError(f"between: got {words!r}, expected two indices with a comma, as in 0,7")
    return parts[0], parts[1]
