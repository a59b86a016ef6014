"""Compression: bytes of a digit against its error, for codes of LoRAE and of PCA, a byte a number, and for JPEG."""

import io

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.decomposition import PCA

import lorae

data = lorae.load_data("mnist", limit=10000)
train, test = data.train.inputs, data.test.inputs[:1000]  # uint8 (n, 1, 32, 32)


def in_bytes(codes, known):
    """Round each column to 256 values between the extremes of the training codes, and back."""
    low, high = known.min(0), known.max(0)
    return low + (high - low) * np.round(255 * ((codes - low) / (high - low)).clip(0, 1)) / 255


def error(pictures):
    return np.square(pictures.reshape(len(test), -1) - test.reshape(len(test), -1) / 255).mean()


curves = {"LoRAE": {}, "PCA": {}, "JPEG, without header": {}}
for rank in (8, 16, 32):
    run = lorae.train("mnist", limit=10000, rank=rank, epochs=3, out=f"rank-{rank}", quiet=True)
    model = lorae.load(lorae.truncate(run, rank))  # codes of `rank` numbers
    codes = in_bytes(model.encode(test), model.encode(train[:5000]))
    curves["LoRAE"][rank] = error(model.decode(codes.astype(np.float32)).clip(0, 1))

rows = train.reshape(len(train), -1) / 255
for rank in (8, 16, 32, 64, 128):
    pca = PCA(rank, svd_solver="covariance_eigh").fit(rows)
    codes = in_bytes(pca.transform(test.reshape(len(test), -1) / 255), pca.transform(rows[:5000]))
    curves["PCA"][rank] = error(pca.inverse_transform(codes).clip(0, 1))

for quality in (1, 5, 10, 20, 40, 70):
    sizes, decoded = [], []
    for picture in test[:, 0]:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
        content = file.getvalue()
        start = content.index(b"\xff\xda")  # of the coded pixels: the tables before it are the same for all digits
        sizes.append(len(content) - start - 10)
        decoded.append(np.asarray(Image.open(file)) / 255)
    curves["JPEG, without header"][np.mean(sizes)] = error(np.stack(decoded))

for name, curve in curves.items():
    print(f"{name}: " + ", ".join(f"{size:.0f} bytes {value:.4f}" for size, value in curve.items()))

figure, axes = plt.subplots(figsize=(4.6, 3.2))
for (name, curve), marker in zip(curves.items(), "os^", strict=True):
    axes.loglog(list(curve), list(curve.values()), marker=marker, label=name)
axes.set(xlabel="bytes of a digit of 32 x 32 pixels", ylabel="squared error of a pixel")
axes.set_xticks([8, 16, 32, 64, 128, 256], ["8", "16", "32", "64", "128", "256"])
axes.minorticks_off()
axes.legend()
figure.savefig("compression.png")

assert all(curves["LoRAE"][rank] < curves["PCA"][rank] for rank in curves["LoRAE"])
