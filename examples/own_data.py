"""Data as they are at hand: a table by names of columns, a DataLoader of torch, a stack of 16-bit images. Offline."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import lorae

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)

# A table of three measured columns that depend on one number, as a spreadsheet writes it in much of Europe.
x = rng.normal(size=300)
columns = {"length": x, "width": x**2, "height": np.sin(x)}
rows = [";".join(f"{value:.6f}".replace(".", ",") for value in row) for row in zip(*columns.values(), strict=True)]
table = folder / "leaves.csv"
table.write_text("\n".join([";".join(columns), *rows]))

run = lorae.train(table, out=folder / "run", method="lorae+", latent_dim=1, epochs=40, quiet=True)
model = lorae.load(run)
codes = model.encode(table)  # what was trained on can be encoded, compared and fitted as it is

# Another table of these columns is read by their names, whatever their order.
other = folder / "other.csv"
other.write_text("\n".join(["height,width,length", *(f"{np.sin(v):.6f},{v**2:.6f},{v:.6f}" for v in x)]))
assert np.allclose(model.encode(other), codes, atol=1e-4)

# A DataLoader gives its items in the order of its data set, so that shuffling changes nothing.
values = torch.tensor(np.stack(list(columns.values()), axis=1).round(6))
loader = DataLoader(TensorDataset(values), batch_size=32, shuffle=True)
assert np.allclose(model.encode(loader), codes, atol=1e-4)
assert abs(lorae.fid(loader, table, quiet=True)["fid"]) < 1e-4

# The frames of one TIFF file are the items; 12 bits in files of 16 have a range of 0 to 4095.
first, *others = (Image.fromarray(image) for image in rng.integers(0, 4096, (20, 16, 16), dtype=np.uint16))
first.save(folder / "stack.tif", save_all=True, append_images=others)
stack = lorae.load_data(folder / "stack.tif", value_range=(0, 4095))
print(f"{len(codes)} rows encoded; a stack of {len(stack.train) + len(stack.test)} images of {stack.shape}")
assert stack.shape == (1, 16, 16)
