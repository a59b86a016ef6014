"""Train the network behind `--features digits` and write its weights into the package.

`make study-train-digit-features` takes five minutes on 2 cores. The record in `results/train-digit-features/` holds the
settings and the accuracy.
"""

import json
import math
import time

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import save

import lorae
from lorae.features.digits import WEIGHTS, DigitsNetwork
from studies import common

STUDY = "train-digit-features"
EPOCHS, BATCH, LR, SEED = 6, 100, 2e-3, 0
# Largest rotation (radians), scaling and shift (share of the side): a digit distorted so far is still recognized.
ROTATION, SCALING, SHIFT = 0.2, 0.1, 0.08


def distorted(x: torch.Tensor) -> torch.Tensor:
    """Distort each image (n, 1, h, w) by a small random affine map."""
    angle = torch.empty(len(x)).uniform_(-ROTATION, ROTATION)
    scale = torch.empty(len(x)).uniform_(1 - SCALING, 1 + SCALING)
    shift = torch.empty(len(x), 2).uniform_(-2 * SHIFT, 2 * SHIFT)  # the grid runs from -1 to 1
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    return F.grid_sample(x, F.affine_grid(rows, list(x.shape), align_corners=False), align_corners=False)


def accuracy(network: DigitsNetwork, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of images that the network recognizes."""
    network.eval()
    with torch.inference_mode():
        answers = [network.classifier(network.pooled(part.float() / 255)).argmax(1) for part in images.split(500)]
    network.train()
    return float((torch.cat(answers) == labels).double().mean())


def set_deviation(network: DigitsNetwork, images: torch.Tensor) -> None:
    """Set the standard deviation of each feature over images, or 1 for a feature that does not vary."""
    network.eval()
    with torch.inference_mode():
        pooled = torch.cat([network.pooled(part.float() / 255) for part in images.split(500)])
    deviation = pooled.double().std(0).float()
    network.deviation.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))


def train() -> None:
    """Train and test the network, write its weights and its record."""
    torch.manual_seed(SEED)
    data = lorae.load_data("mnist")
    images, labels = (torch.from_numpy(np.asarray(part)) for part in (data.train.inputs, data.train.labels))
    test_images, test_labels = (torch.from_numpy(np.asarray(part)) for part in (data.test.inputs, data.test.labels))
    network = DigitsNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, fused=True)
    steps, step, started = EPOCHS * len(images) // BATCH, 0, time.perf_counter()
    for epoch in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = LR * 0.5 * (1 + math.cos(math.pi * step / steps))
            x = distorted(images[chosen].float() / 255).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(network.classifier(network.pooled(x)), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        found = accuracy(network, test_images, test_labels)
        print(f"epoch {epoch + 1}: test accuracy {found:.4f}, {time.perf_counter() - started:.0f} s", flush=True)
    set_deviation(network, images)
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    WEIGHTS.write_bytes(save(tensors))
    record = {
        "name": "digits",
        "command": f"make study-{STUDY}",
        "settings": {"epochs": EPOCHS, "batch_size": BATCH, "lr": LR, "seed": SEED},
        "machine": {"torch": torch.__version__},
        "result": {
            "test_accuracy": found,
            "test_images": len(test_images),
            "bytes": WEIGHTS.stat().st_size,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        },
    }
    common.write_records(STUDY, [record])
    print(json.dumps(record))


def draw() -> None:
    """Draw nothing: no page has a table of this study."""


if __name__ == "__main__":
    common.run_study(__doc__, train, draw)
