"""A network and a loop of your own: training lowers the rank of the latent exactly, then M is removed."""

import copy

import torch
from torch import nn

import lorae

torch.manual_seed(0)
x = torch.tanh(torch.randn(512, 3) @ torch.randn(3, 20))  # a curved surface of three dimensions

encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 12))
decoder = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 20))
low_rank = lorae.nn.LowRankLinear(12)
model = nn.Sequential(encoder, low_rank, decoder)

optimizer = lorae.nn.ProximalAdam(model.parameters(), lr=3e-3, penalty=2e-2)
for _step in range(600):
    batch = x[torch.randint(len(x), (64,))]
    optimizer.zero_grad()
    (model(batch) - batch).square().mean().backward()
    optimizer.step()
optimizer.shrink()  # the thresholds of the last steps: singular values of M are now exactly zero

rank = low_rank.rank()
small = copy.deepcopy(model)
small[0][-1], small[2][0] = lorae.nn.truncate(encoder[-1], low_rank, decoder[0], model[:2](x), rank)
small[1] = nn.Identity()  # no M is left

error = (model(x) - x).square().mean()
print(f"rank {rank} of 12, error {error:.4f} (variance {x.var():.4f})")
assert 0 < rank < 12
assert small[0](x).shape == (512, rank)
assert torch.allclose(small(x), model(x), atol=1e-5)
