"""The models that a penalty path keeps, as run folders: every command takes `RUN/path/03` as it takes RUN."""

import shutil

from lorae.data import Dataset
from lorae.evaluation.evaluator import evaluate_training
from lorae.reports.report import write_report
from lorae.runs.run import Run, write_config


def finish_points(run: Run, dataset: Dataset) -> None:
    """Make a finished run of every point: its config, the log of the whole path, its own rank and error on test items.

    `config.json` is that of the path, with the point's weight in place of the path and a key `point` that names both.
    Doing it again, as after a kill, changes nothing.
    """
    for point in run.evaluation()["course"]["points"]:
        folder = run.path / "path" / point["point"]
        settings = run.config["settings"]
        penalties = settings["penalties"] | {"nuclear": point["penalty"]}
        config = run.config | {
            "settings": settings | {"penalty_path": None, "penalties": penalties},
            "point": {"of": str(run.path), "name": point["point"]},
        }
        for name in ("checkpoints", "figures"):
            (folder / name).mkdir(exist_ok=True)
        write_config(folder, config)
        shutil.copyfile(run.path / "stats.jsonl", folder / "stats.jsonl")
        model = run.load_model(point["point"])
        evaluate_training(Run(folder), model, dataset)
        write_report([folder])
