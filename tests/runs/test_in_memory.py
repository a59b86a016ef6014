"""A run in memory is a store as a run folder is."""

import inspect

import pytest

from lorae.config.settings import Settings
from lorae.models import Autoencoder, ModelSpec
from lorae.runs import InMemoryRun, Run, RunStore

MEMBERS = {name for name in dir(RunStore) if not name.startswith("_")} | {"path"}


@pytest.mark.parametrize("store", [Run, InMemoryRun])
def test_both_kinds_of_run_have_all_members_of_a_store(store, trained):
    run = trained if store is Run else InMemoryRun(Settings(), threads=2)
    assert {name for name in MEMBERS if not hasattr(run, name)} == set()
    for name in MEMBERS:
        if inspect.isfunction(getattr(RunStore, name, None)):
            ours, theirs = (list(inspect.signature(getattr(kind, name)).parameters) for kind in (store, RunStore))
            assert ours == theirs


def test_a_run_in_memory_keeps_statistics_points_and_threads():
    run = InMemoryRun(Settings(), threads=2)
    assert (run.threads, run.load_checkpoint(), run.last_checkpoint) == (2, None, None)
    run.append_stats({"step": 1})
    run.truncate_stats(0)
    assert run.records == [{"step": 1}]
    model = Autoencoder(ModelSpec("mlp", (6,), latent_dim=2))
    run.save_point(model, "00")
    kept = model.scaling.shift.tolist()
    model.scaling.shift.fill_(7)
    run.load_point(model, "00")
    assert model.scaling.shift.tolist() == kept
