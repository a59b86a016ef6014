"""A small sweep that many tests look at, and settings with which a training takes a tenth of a second."""

import pytest
from matplotlib.figure import Figure

import lorae
from lorae.reports.run_figures import RunFigures
from tests.conftest import save_blank, saved


def without_figures(patch):
    """Leave the figures out of the reports of runs, which take several times as long as their trainings."""
    patch.setattr("lorae.reports.report.run_figures", lambda run, key: RunFigures())


@pytest.fixture(autouse=True)
def _plain_reports(monkeypatch):
    without_figures(monkeypatch)


@pytest.fixture(scope="session")
def table_file(vectors, tmp_path_factory):
    return saved(vectors, tmp_path_factory, "table")


@pytest.fixture(scope="session")
def fast():
    """Settings of a training of a tenth of a second."""
    return {"epochs": 2, "batch_size": 32, "network": "linear", "workers": 1, "quiet": True}


@pytest.fixture(scope="session")
def searched(table_file, fast, tmp_path_factory):
    """A finished grid of two penalties and two widths."""
    folder = tmp_path_factory.mktemp("sweeps") / "grid"
    with pytest.MonkeyPatch.context() as patch:
        without_figures(patch)
        patch.setattr(Figure, "savefig", save_blank)
        patch.setenv("LORAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return lorae.sweep(str(table_file), penalty=[1e-3, 1e-1], latent_dim="2,3", out=folder, **fast)
