"""LoRAE in scikit-learn: a pipeline, anomalies, files without pickle. A minute at most on one core."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from lorae import LoRAE

X, y = load_digits(return_X_y=True)
train, new = X[:1000], X[1000:1200]

# Few epochs, so that the example is quick; leave them out for a good model.
model = LoRAE(n_components=10, epochs=10, contamination=0.01, random_state=0)
classifier = make_pipeline(model, LogisticRegression(max_iter=1000)).fit(train, y[:1000])
print(f"accuracy on new digits from {model.n_components_} codes: {classifier.score(new, y[1000:1200]):.0%}")

# Digits with their pixels shuffled are no digits: they are reconstructed badly.
shuffled = np.random.default_rng(0).permuted(new, axis=1)
found = (model.predict(shuffled) == -1).mean(), (model.predict(new) == -1).mean()
print(f"called anomalies: {found[0]:.0%} of shuffled digits, {found[1]:.0%} of new ones")
assert found[0] > 2 * found[1]

with tempfile.TemporaryDirectory() as folder:
    again = LoRAE.load(model.save(Path(folder) / "digits.safetensors"))
assert (again.transform(new) == model.transform(new)).all()

between = model.interpolate(new[0], new[1], steps=5)  # five digits from one to the other
assert between.shape == (5, 64)
