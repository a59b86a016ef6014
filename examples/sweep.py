"""Search penalty and width in a sweep, read its frontier of rank and error, continue it with more trials. Offline."""

import importlib.util
import tempfile
from pathlib import Path

import numpy as np

import lorae

if importlib.util.find_spec("optuna") is None:
    raise SystemExit("this example needs the extra `sweep`")

# Points near a curved surface of two dimensions in six columns.
t = np.random.default_rng(0).uniform(-1, 1, size=(400, 2))
X = np.column_stack([t, np.sin(3 * t), t**2]).astype(np.float32)

with tempfile.TemporaryDirectory() as folder:
    fast = {"epochs": 3, "network": "linear", "quiet": True, "workers": 1}  # seconds, for an example
    # Text with colons is a range, a list is choices. Held-out training items decide, and no test item.
    search = {"penalty": "1e-4:1e-1:log", "latent_dim": [2, 4, 6], "seeds": [0, 1]}
    found = lorae.sweep(X, out=Path(folder) / "surface", trials=4, **search, **fast)
    for setting in found.frontier:
        print(f"rank {setting.mean('rank'):.0f}, error {setting.mean('error'):.4f}: {setting.parameters}")
    print(found.command)  # trains the best setting on all training items

    more = lorae.sweep(resume=found.path, trials=6, quiet=True, workers=1)
    assert len(more.trials) == 6
    assert more.trials[:4] == found.trials
    assert more.best[0].mean("error") <= found.best[0].mean("error")
    assert more.run(0).finished
    assert (more.path / "report.html").exists()
