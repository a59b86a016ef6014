"""One of two processes that train with DistributedDataParallel; the result of the first is saved."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from lorae.nn import ProximalAdam, nuclear_norm_penalty, proximal_step
from tests.nn.networks import error, items, network, train


def main(rank: int, folder: Path) -> None:
    """Train three copies of the network on this process's half of the items, each in one of the ways."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    half = items().double()[rank::2]
    models = [DistributedDataParallel(network().double()) for _ in range(3)]

    proximal = ProximalAdam(models[0].parameters(), lr=1e-2, penalty=0.05)
    train(models[0], proximal, half, 25)
    proximal.shrink()

    own = torch.optim.Adam(models[1].parameters(), lr=1e-2)
    train(models[1], own, half, 25, lambda: proximal_step(own, 0.05))
    proximal_step(own, 0.05, every=1)

    adam = torch.optim.Adam(models[2].parameters(), lr=1e-2)
    for _ in range(10):
        adam.zero_grad()
        (error(models[2], half) + 0.05 * nuclear_norm_penalty(models[2], every=3)).backward()
        adam.step()

    torch.save([model.module.state_dict() for model in models], folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
