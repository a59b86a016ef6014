"""Small data of a low dimension, and a network with a low-rank layer in it."""

import torch
from torch import nn

from lorae.nn import LowRankLinear

WIDTH, LATENT = 10, 6


def items(n=64, seed=0):
    """Points of a curved surface of two dimensions, float32 (n, WIDTH)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.tanh(torch.randn(n, 2, generator=generator) @ torch.randn(2, WIDTH, generator=generator))


def network(seed=0, init="identity"):
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(WIDTH, 12), nn.Tanh(), nn.Linear(12, LATENT))
    decoder = nn.Sequential(nn.Linear(LATENT, 12), nn.Tanh(), nn.Linear(12, WIDTH))
    return nn.Sequential(encoder, LowRankLinear(LATENT, init), decoder)


def error(model, x):
    return (model(x) - x).square().mean()


def train(model, optimizer, x, steps, after=lambda: None):
    """Plain full-batch steps, each followed by a call of `after`."""
    for _ in range(steps):
        optimizer.zero_grad()
        error(model, x).backward()
        optimizer.step()
        after()
    return model
