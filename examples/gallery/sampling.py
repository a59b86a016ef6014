"""Sampling: new digits from a Gaussian on the codes, beside those of PCA with as many components."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import lorae
from lorae import LoRAE

X = load_digits().data  # 1,797 digits of 8 x 8 pixels from 0 to 16
train, test = X[:1000], X[1000:]
RANK = 12

model = LoRAE(RANK, standardize=False, random_state=0).fit(train)
pca = PCA(RANK).fit(train)
gaussian = np.random.default_rng(0).normal(size=(797, RANK)) * np.sqrt(pca.explained_variance_)
drawn = {
    "PCA": pca.inverse_transform(gaussian),
    "LoRAE": model.sample(797, random_state=0),
    "LoRAE, mixture": model.sample(797, sampler="mixture", random_state=0),
    "test digits": test,
}


def pictures(rows):
    return (rows.clip(0, 16) / 16).reshape(-1, 1, 8, 8).astype(np.float32)


def distance(rows):
    return lorae.fid(pictures(rows), pictures(test), features="digits", quiet=True)["fid"]


distances = {name: distance(rows) for name, rows in drawn.items() if name != "test digits"}
distances["training digits"] = distance(train)  # the floor
for name, value in distances.items():
    print(f"{name}: Frechet distance to the test digits {value:.1f}")

figure, axes = plt.subplots(len(drawn), figsize=(4.6, 4.8))
for axis, (name, rows) in zip(axes, drawn.items(), strict=True):
    framed = np.pad(pictures(rows[:24])[:, 0], ((0, 0), (1, 1), (1, 1))).reshape(2, 12, 10, 10)
    axis.imshow(np.vstack([np.hstack(row) for row in framed]), cmap="gray")
    axis.set_title(name + (f", distance {distances[name]:.0f}" if name in distances else ""), loc="left")
    axis.axis("off")
figure.savefig("sampling.png")

assert distances["LoRAE"] < distances["PCA"]
