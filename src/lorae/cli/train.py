"""Commands that train: `lorae train`, `lorae resume`."""

import argparse
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from rich.table import Table

from lorae import api
from lorae.api.truncation import methods_with_matrix
from lorae.cli.arguments import DATA_SETTINGS, MEANING_OF_DATA, PARTS, add_moved_data, add_settings, run_of, settings_of
from lorae.cli.completion import suggest
from lorae.cli.output import Output, error_text, table
from lorae.config.datasets import DATASETS
from lorae.config.settings import Settings
from lorae.errors import shell_command
from lorae.reports.rank_selection import Choice, read_choice
from lorae.runs.run import Run

# The settings that most trainings need, which `lorae train --help` lists first.
COMMON = ("method", "penalty", "rank", "latent_dim", "epochs", "batch_size", "lr", "size", "seed", "device")


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `add(name, function, meaning)` makes a subparser."""
    train = add(
        "train",
        _train,
        "train a method on data into a new run folder",
        usage="lorae train DATA [--out RUN] [--SETTING VALUE ...]",
    )
    train.set_defaults(joint=True)
    suggest(train.add_argument("data", metavar="DATA", help=MEANING_OF_DATA), DATASETS)
    add_settings(train, COMMON, title="settings that most trainings need")
    run = train.add_argument_group("run")
    run.add_argument("--out", metavar="RUN", help="the run folder; runs/DATA-METHOD-PENALTY by default")
    run.add_argument("--config", metavar="FILE.yaml", help="file with settings; flags take precedence over it")
    run.add_argument("--dry-run", action="store_true", help="print the resolved config and stop")
    names = [field.name for field in dataclasses.fields(Settings) if field.name not in ("data", *COMMON)]
    parts = [name for name in names if name in PARTS]
    add_settings(train, [name for name in names if name not in (*parts, *DATA_SETTINGS)], title="more settings")
    add_settings(train, [name for name in DATA_SETTINGS if name in names], title="settings of the data")
    add_settings(train, parts, title="weights of penalties, options of bottlenecks")

    resume = add("resume", _resume, "continue an interrupted run from its last checkpoint", "run")
    resume.set_defaults(joint=True)
    add_moved_data(resume)
    resume.add_argument("--epochs", metavar="EPOCHS", help="epochs in all, to extend a finished run")


def _train(options: argparse.Namespace) -> Output:
    arguments = {"out": options.out, "config": options.config, **settings_of(options)}
    if options.dry_run:
        planned = api.plan(options.data, **arguments)
        return planned, [json.dumps(planned, indent=2)]
    return _finished(api.train(options.data, **arguments))


def _resume(options: argparse.Namespace) -> Output:
    return _finished(api.resume(run_of(options), data=options.data, epochs=options.epochs))


def _explain_rank(run: Run, choice: Choice | None) -> str:
    """Return the rank of the latents in words, told apart from a chosen rank, which is that of M."""
    found = run.evaluation()["rank"]
    data = {"test": "test data", "train": "training data"}.get(found.get("split", ""), "unknown data")
    if choice is None or choice.is_path or choice.chosen == str(found["rank"]):
        return f"{found['rank']} (eigenvalues above {found['tolerance']:g} of the largest, {data})"
    share = f"{found['tolerance']:g} of the largest variance"
    return f"{found['rank']} of the {choice.chosen} directions of M hold more than {share} ({data})"


def _explain_stop(found: dict[str, Any]) -> str:
    """Return where and why a training with `epochs` auto ended, in words."""
    kept = f"weights of epoch {found['best_epoch']} kept (held-out loss {found['loss']:.4g})"
    why = f": no smaller held-out loss in {found['patience']} epochs"
    return f"after epoch {found['epochs']}{', the last one allowed' if found['reason'] == 'longest' else why}; {kept}"


def _explain_floor(found: dict[str, Any]) -> str:
    """Return which model a training with a floor ended with, in words."""
    chosen = "network" if found["kept"] == "network" else "PCA of all training items"
    if "error" not in found:
        return f"{chosen}: too few items to judge a network"
    errors = f"error {found['error']:.4g} of the network, {found['pca_error']:.4g} of PCA of rank {found['rank']}"
    return f"{chosen} ({errors} on {found['items']} items held out)"


def _finished(run: Run) -> Output:
    summary = run.summary()
    choice = read_choice(summary["schedule"])
    shown: list[str | Table] = []
    if choice is not None:
        shown.append(table(choice.rows, *choice.header))
        shown.append(
            f"* the knee, penalty {choice.chosen}: the model of the run"
            if choice.is_path
            else f"rank chosen {choice.chosen} (error on items set aside at most {choice.bound:.4g})"
        )
    if summary["rank"] is not None:
        shown += [
            f"rank        {_explain_rank(run, choice)}",
            f"test error  {error_text(summary['test_mse'])} (mean squared error)",
        ]
    if summary["stopping"] is not None:
        shown.append(f"stopped     {_explain_stop(summary['stopping'])}")
        if "floor" in summary["stopping"]:
            shown.append(f"kept        {_explain_floor(summary['stopping']['floor'])}")
    shown.append(f"time        {summary['seconds']:.0f} s, {summary['images_per_second']:,.0f} items a second")
    if choice is not None and choice.is_path:
        shown.append(f"models      {summary['run']}/path")
    return summary, [*shown, f"report      {summary['run']}/report.html", "next steps:", *next_steps(run)]


def next_steps(run: Run) -> list[str]:
    """Return commands that use a finished run, as they can be pasted into a shell."""
    names = ["evaluate", "sample"]
    if run.settings.method in methods_with_matrix() and "truncated" not in run.config:
        names.append("truncate")
    return [f"  {shell_command(name, run.path)}" for name in names]
