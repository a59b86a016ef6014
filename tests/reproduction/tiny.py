"""Studies that take seconds: the smoke preset, smaller still; the fixture `tiny` puts it in its place."""

from lorae.cli import parser as cli
from lorae.reproduction.tables.presets import Preset, StudyConfig

SMOKE = StudyConfig("smoke", "paper", 1)
TINY = Preset(
    seeds=1,
    training={"mnist": {"epochs": 1, "width": 0.125, "limit": 96, "latent_dim": 16}},
    measures={
        "mnist": {
            # More items than the 128 features, or a distance warns.
            "fid": {"n": 140, "draws": 1, "components": 2},
            "interpolation": {"n": 140},
            "rank": {"bootstrap": 5},
            "classification": {"labels": ("10",), "seeds": 2, "max_steps": 5},
            "supervised": {"labels": ("10",), "seeds": 2, "max_steps": 2},
        }
    },
)


def reproduce(capsys, *words):
    code = cli.main(["reproduce", *map(str, words)])
    return code, *capsys.readouterr()
