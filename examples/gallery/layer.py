"""A low-rank layer in a loop of one's own: singular values become exactly zero while the network learns."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import lorae

torch.manual_seed(0)
WIDTH, STEPS = 16, 3000


def signals(n):
    """Return n signals of 64 values, each a bump of random place, width and height: three dimensions."""
    place, width, height = (low + (high - low) * torch.rand(n, 1) for low, high in ((0.2, 0.8), (0.05, 0.15), (0.5, 1)))
    return height * torch.exp(-(((torch.linspace(0, 1, 64) - place) / width) ** 2))


encoder = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, WIDTH))
low_rank = lorae.nn.LowRankLinear(WIDTH)
decoder = nn.Sequential(nn.Linear(WIDTH, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 64))
model = nn.Sequential(encoder, low_rank, decoder)

optimizer = lorae.nn.ProximalAdam(model.parameters(), lr=2e-3, penalty=1e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
steps, values = [], []
for step in range(STEPS):
    if step == STEPS // 2:  # the rank is found: keep it, without the penalty, which also shrinks what is left
        optimizer.shrink()
        optimizer.max_rank = low_rank.rank()
        optimizer.weight.zero_()
    batch = signals(64)
    optimizer.zero_grad()
    (model(batch) - batch).square().mean().backward()
    optimizer.step()
    schedule.step()
    if step % 50 == 0:
        optimizer.shrink()
        steps.append(step)
        values.append(torch.linalg.svdvals(low_rank.weight.detach()).numpy())
optimizer.shrink()

rank = low_rank.rank()
test = signals(1000)
centered = test - test.mean(0)
with torch.no_grad():
    explained = 1 - ((model(test) - test).square().mean() / centered.square().mean()).item()
squares = torch.linalg.svdvals(centered).square()
by_pca = (squares[:rank].sum() / squares.sum()).item()  # of these signals themselves: an upper bound
print(f"rank {rank} of {WIDTH}: {explained:.2%} of the variance of new signals, PCA with {rank} at most {by_pca:.2%}")

last, first = lorae.nn.truncate(encoder[-1], low_rank, decoder[0], model[:2](signals(1000)))
small = nn.Sequential(encoder[:-1], last, first, decoder[1:])  # without M, a latent of `rank` coordinates

figure, axes = plt.subplots(figsize=(4.6, 3))
axes.plot(steps, np.array(values), color="C0", linewidth=1)
axes.axvline(STEPS // 2, color="black", linewidth=1, linestyle=":")
axes.set(xlabel="step", ylabel="singular values of M", ylim=(0, None), title=f"{rank} of {WIDTH} are left")
figure.savefig("layer.png")

assert 0 < rank < WIDTH
assert explained > by_pca
assert torch.allclose(small(test), model(test), atol=1e-4)
