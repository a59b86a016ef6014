"""Follow a training with a callback, let it choose its end, and extend another run."""

import tempfile
import warnings
from pathlib import Path

import numpy as np

import lorae


class Curve:
    """Keep the error of test items after each epoch."""

    def __init__(self):
        self.errors = []

    def on_epoch_end(self, progress):
        """Append the error of this epoch."""
        self.errors.append(progress.values["test_mse"])


warnings.simplefilter("ignore", lorae.LoraeWarning)  # these few steps end behind PCA, which is exact on a plane
rng = np.random.default_rng(0)
vectors = (rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6))).astype(np.float32)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder)
    curve = Curve()
    run = lorae.train(
        vectors, out=path / "run", method="ae", epochs=2, clip_gradients=1.0, callbacks=[curve], quiet=True
    )
    run = lorae.resume(run, data=vectors, epochs=4, callbacks=[curve], quiet=True)
    print("test error by epoch:", *(f"{error:.3g}" for error in curve.errors))
    assert len(curve.errors) == run.summary()["epochs"] == 4

    chosen = lorae.train(vectors, out=path / "auto", method="ae", epochs="auto", patience=1, lr=0.02, quiet=True)
    print("ended:", chosen.summary()["stopping"])
    assert chosen.summary()["stopping"]["reason"] == "stalled"
