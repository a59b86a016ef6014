"""What `lorae train` and `lorae resume` print of a finished run."""

import json
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from lorae.choice import Choice, read_choice
from lorae.runs import Run


def finish(training: Callable[[], Run], *, as_json: bool) -> None:
    """Train, and print the summary."""
    summary = training().summary()
    if as_json:
        print(json.dumps(summary))
        return
    choice = read_choice(summary["course"])
    if choice is not None:
        _print_choice(choice)
    if summary["rank"] is not None:
        print(f"rank        {summary['rank']} (eigenvalues above {summary['tolerance']:g} of the largest, test data)")
        print(f"test error  {summary['test_mse']:.6f} (mean squared error)")
    print(f"time        {summary['seconds']:.0f} s, {summary['images_per_second']:,.0f} items a second")
    if choice is not None and choice.is_path:
        print(f"models      {summary['run']}/path")
    print(f"report      {summary['run']}/report.html")


def _print_choice(choice: Choice) -> None:
    table = Table(*choice.header, box=None)
    for row in choice.rows:
        table.add_row(*row)
    Console().print(table)
    if choice.is_path:
        print(f"* the knee, penalty {choice.chosen}: the model of the run")
    else:
        print(f"rank chosen {choice.chosen} (error on items set aside at most {choice.bound:.4g})")
