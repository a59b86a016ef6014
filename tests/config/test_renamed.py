"""Settings under the names of earlier versions, as flags, in files and as keyword arguments."""

import json

import numpy as np
import pytest

import lorae
from lorae.cli.parser import main
from lorae.errors import LoraeWarning


@pytest.fixture
def array():
    return np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)


def test_an_old_flag_works_and_is_not_shown(array, tmp_path, capsys):
    np.save(tmp_path / "a.npy", array)
    assert main(["train", str(tmp_path / "a.npy"), "--normalise", "scale", "--dry-run"]) == 0
    printed = capsys.readouterr()
    config = json.loads(printed.out)
    assert config["settings"]["normalize"] == "scale"
    assert "--normalize scale" in config["command"]
    assert printed.err == "lorae: warning: normalise: renamed to normalize; the old name will be removed\n"
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    assert "--normalize" in shown
    assert "--normalise" not in shown


def test_an_argument_wins_over_an_old_name_in_a_file(array, tmp_path):
    (tmp_path / "a.yaml").write_text("normalise: scale\n")
    with pytest.warns(LoraeWarning, match=r"^normalise: renamed"):
        assert lorae.plan(array, config=tmp_path / "a.yaml", normalize="none")["settings"]["normalize"] == "none"
    with pytest.warns(LoraeWarning, match=r"^normalise: renamed"):
        assert lorae.plan(array, normalise="coordinates")["settings"]["normalize"] == "coordinates"
