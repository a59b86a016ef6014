"""A model without its data: encode, decode, export for torch alone, load what was exported. Seconds on one core."""

import json
from pathlib import Path

import numpy as np
import torch

import lorae

factors = np.random.default_rng(0).normal(size=(500, 3))
data = np.sin(factors @ np.random.default_rng(1).normal(size=(3, 12))).astype(np.float32)
run = lorae.train(data, method="lorae", penalty=1e-4, latent_dim=8, epochs=5, out="run", quiet=True)

# The run folder is enough: the array is not passed again.
new = data[:5]
codes = lorae.encode(run, new, out="codes.npy")
decoded = lorae.decode(run, "codes.npy", out="decoded.csv")
assert np.allclose(np.loadtxt("decoded.csv", delimiter=","), decoded)

# Weights, model.json and a model card; `lorae.push_to_hub(run, "OWNER/NAME")` uploads these three files.
folder = lorae.export_run(run, out="model", rank=3)
assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.json", "model.safetensors"]
assert json.loads((folder / "model.json").read_text())["latent_dim"] == 3
model = lorae.from_pretrained(folder)  # or "OWNER/NAME"; no code is executed, and no pickle
print(f"{new.shape[1]} numbers an item, {model.encode(new).shape[1]} a code")

# A graph for torch alone, with the scaling inside, for any number of items.
graphs = lorae.export_run(run, "torch", out="graphs", rank=3)
encoder = torch.export.load(Path(graphs) / "encoder.pt2").module()
assert np.allclose(encoder(torch.from_numpy(new)).detach().numpy(), model.encode(new), atol=1e-4)
