"""MNIST: a LoRAE finds how many directions the digits need, reconstructs new digits and draws others."""

import matplotlib.pyplot as plt
import numpy as np

import lorae

run = lorae.train("mnist", method="lorae", penalty=1e-4, epochs=3, limit=20000, out="digits", quiet=True)
model = lorae.load(run)
digits = lorae.load_data("mnist").test.inputs  # uint8 (10000, 1, 32, 32)
spectrum = model.spectrum(digits)
explained = run.evaluation()["explained"]
model_share, pca_share = (1 - explained[name] / explained["variance"] for name in ("mse", "pca_mse"))
print(f"{spectrum.rank} of {model.spec.latent_dim} directions used")
print(f"explains {model_share:.1%} of the variance of test digits; PCA with {spectrum.rank}: {pca_share:.1%}")

eight = digits[:8]
rows = {
    "test digits": eight / 255,
    "reconstructed": model.reconstruct(eight).clip(0, 1),
    "new": lorae.sample(run, 8, sampler="mixture", seed=0) / 255,
}
figure, (images, curve) = plt.subplots(2, figsize=(4.6, 4.6), height_ratios=[3, 4])
images.imshow(np.vstack([np.hstack(row[:, 0]) for row in rows.values()]), cmap="gray")
images.set_yticks([16 + 32 * k for k in range(len(rows))], rows)
images.set_xticks([])
images.tick_params(left=False)
values = np.maximum(spectrum.eigenvalues / spectrum.eigenvalues[0], 1e-8)
curve.semilogy(np.arange(1, len(values) + 1), values)
curve.plot(spectrum.rank, values[spectrum.rank - 1], "o", color="C0")
curve.annotate(f"rank {spectrum.rank}", (spectrum.rank, values[spectrum.rank - 1]), (8, 0), textcoords="offset points")
curve.set(xlabel="principal direction of the latent", ylabel="variance (relative)", ylim=(1e-8, 2))
figure.savefig("mnist.png")

assert 15 <= spectrum.rank <= 45
assert model_share > pca_share
