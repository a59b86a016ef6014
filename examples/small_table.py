"""Train on a small table: the run ends as PCA unless its network is better on rows that it has not seen."""

import tempfile
from pathlib import Path

from sklearn.datasets import load_wine

import lorae

table = load_wine().data  # 178 rows of 13 columns

with tempfile.TemporaryDirectory() as folder:
    fast = {"latent_dim": 2, "patience": 5, "batch_size": 64, "lr": 1e-2}  # seconds, for an example
    run = lorae.train(table, out=Path(folder) / "wine", rank=2, epochs="auto", quiet=True, **fast)
    summary = run.summary()
    floor = summary["stopping"]["floor"]
    print(f"kept: {floor['kept']}; error {floor['error']:.3f} of the network, {floor['pca_error']:.3f} of PCA")
    assert summary["rank"] == 2
    if floor["kept"] == "pca":
        explained = run.evaluation()["explained"]
        assert abs(explained["mse"] - explained["pca_mse"]) < 1e-4 * explained["variance"]
    else:
        assert floor["error"] < 0.98 * floor["pca_error"]
