"""Train a one-dimensional convolutional network of your own on signals, then truncate the run and sample from it."""

import numpy as np
import torch
from torch import nn

import lorae

# Two channels of 64 values: bumps at a random place, of random height.
places, heights = np.random.default_rng(0).uniform([0.2, 0.5], [0.8, 1.0], size=(600, 2)).T[:, :, None]
bumps = heights * np.exp(-(((np.linspace(0, 1, 64) - places) / 0.1) ** 2))
signals = np.stack([bumps, np.gradient(bumps, axis=1)], axis=1).astype(np.float32)

torch.manual_seed(0)
encoder = nn.Sequential(
    nn.Conv1d(2, 8, kernel_size=5, stride=2, padding=2),
    nn.ReLU(),
    nn.Conv1d(8, 16, kernel_size=5, stride=2, padding=2),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(16 * 16, 8),
)
decoder = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 128), nn.Unflatten(1, (2, 64)))

run = lorae.train(
    signals, encoder=encoder, decoder=decoder, latent_dim=8, method="lorae+", rank=3, epochs=60, out="bumps", quiet=True
)
small = lorae.truncate(run, 3, data=signals)
model = lorae.load("bumps-rank3", encoder=encoder, decoder=decoder)

assert model.encode(signals).shape == (600, 3)
assert np.allclose(model.reconstruct(signals), lorae.load(run).reconstruct(signals), atol=1e-3)
assert lorae.sample(small, 10, data=signals).shape == (10, 2, 64)
print(f"rank {small.summary()['rank']}, error {small.summary()['test_mse']:.4f}")
