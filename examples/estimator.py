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

# Pixels that are missing: filled in by the decoder, and left out of all errors.
missing = np.random.default_rng(1).random(X.shape) < 0.1
gaps = np.where(missing, np.nan, X)[:1200]
imputed = LoRAE(16, handle_missing="mask", epochs=3, random_state=0).fit(gaps[:1000]).impute(gaps)
error, of_mean = (np.square(each - X[:1200])[missing[:1200]].mean() for each in (imputed, X.mean(0)))
print(f"missing pixels are off by {error:.1f} squared, by the mean {of_mean:.1f}")
assert error < 0.6 * of_mean

with tempfile.TemporaryDirectory() as folder:
    again = LoRAE.load(model.save(Path(folder) / "digits.safetensors"))
assert (again.transform(new) == model.transform(new)).all()

between = model.interpolate(new[0], new[1], steps=5)  # five digits from one to the other
assert between.shape == (5, 64)
