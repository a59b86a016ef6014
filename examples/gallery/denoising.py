"""Denoising: a LoRAE that is trained with noise on its inputs restores clean digits, beside the best PCA."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import lorae

X = load_digits().data  # 1,797 digits of 8 x 8 pixels from 0 to 16
train, clean = X[:1400], X[1400:]
NOISE, RANK = 3, 24
noisy = clean + np.random.default_rng(0).normal(0, NOISE, clean.shape)


def error(pictures):
    return np.square(pictures - clean).mean()


# Each step adds new noise to the items that the encoder sees; the error is that of the clean ones.
run = lorae.train(
    train, method="lorae+", rank=RANK, noise=NOISE, vector_scale="none", epochs=60, out="denoising", quiet=True
)
restored = lorae.load(run).reconstruct(noisy)
by_pca = {rank: PCA(rank).fit(train) for rank in range(2, 41, 2)}
pca_errors = {rank: error(pca.inverse_transform(pca.transform(noisy))) for rank, pca in by_pca.items()}
best = min(pca_errors, key=pca_errors.get)
print(f"squared error of a pixel: noisy {error(noisy):.2f}, LoRAE of rank {RANK} {error(restored):.2f}")
print(f"PCA with {best} components, the best number for these test digits: {pca_errors[best]:.2f}")

pca = by_pca[best]
rows = {
    "noisy": noisy,
    f"PCA, {best}": pca.inverse_transform(pca.transform(noisy)),
    f"LoRAE, {RANK}": restored,
    "clean": clean,
}
figure, axes = plt.subplots(figsize=(4.6, 2.6))
framed = [np.pad(row[:8].reshape(8, 8, 8), ((0, 0), (1, 1), (1, 1))) for row in rows.values()]
axes.imshow(np.vstack([np.hstack(row) for row in framed]), cmap="gray", vmin=0, vmax=16)
axes.set_yticks([4.5 + 10 * k for k in range(len(rows))], rows)
axes.set_xticks([])
axes.tick_params(left=False)
figure.savefig("denoising.png")

assert error(restored) < pca_errors[best]
assert error(restored) < 0.5 * error(noisy)
