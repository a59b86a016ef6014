"""A folder of photographs: read, train, and compare with PCA of the same width."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA

import lorae

# Two photographs that scikit-learn has, cut into squares; those of the right quarter are the test pictures.
SIDE, RANK = 32, 24
for name, photograph in zip(("temple", "flower"), load_sample_images().images, strict=True):
    border = photograph.shape[1] * 3 // 4
    for part, left, right in (("train", 0, border), ("test", border, photograph.shape[1])):
        folder = Path("photographs", part, name)
        folder.mkdir(parents=True)
        step = SIDE // 4 if part == "train" else SIDE
        for top in range(0, photograph.shape[0] - SIDE + 1, step):
            for start in range(left, right - SIDE + 1, step):
                square = photograph[top : top + SIDE, start : start + SIDE]
                Image.fromarray(square).save(folder / f"{top:03}-{start:03}.png")

run = lorae.train("photographs", size=SIDE, rank=RANK, epochs=6, lr=3e-4, out="run", quiet=True)
model = lorae.load(run)
data = lorae.load_data("photographs", size=SIDE)
train, test = (part.inputs.reshape(len(part), -1) / 255 for part in (data.train, data.test))
pca = PCA(RANK, svd_solver="randomized", random_state=0).fit(train)


def explained(pictures):
    return 1 - np.square(pictures.reshape(len(test), -1) - test).sum() / np.square(test - train.mean(0)).sum()


ours = explained(model.reconstruct(data.test.inputs))
by_pca = explained(pca.inverse_transform(pca.transform(test)))
print(f"{len(train)} training pictures, {len(test)} test pictures of {SIDE} x {SIDE}")
print(f"{RANK} directions explain {ours:.2%} of the variance of test pictures, PCA with {RANK} {by_pca:.2%}")

# The test pictures with the most detail.
chosen = data.test.inputs[np.argsort(-test.var(1))[:8]]
rows = {"test pictures": chosen / 255, "reconstructed": model.reconstruct(chosen).clip(0, 1)}
figure, axes = plt.subplots(figsize=(4.6, 1.6))
axes.imshow(np.vstack([np.hstack(row.transpose(0, 2, 3, 1)) for row in rows.values()]))
axes.set_yticks([SIDE // 2 + SIDE * k for k in range(len(rows))], rows)
axes.set_xticks([])
axes.tick_params(left=False)
figure.savefig("photographs.png")

assert len(train) > 1000
assert 1 - ours < 1.05 * (1 - by_pca)  # level with PCA, or better
