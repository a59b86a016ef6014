"""Lightning: a callback lowers the rank of the latent by proximal steps and removes M when training ends."""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader

import lorae


class LowRank(lightning.Callback):
    """Proximal steps after those of the module's own Adam, and a truncation at the end."""

    def on_train_batch_end(self, trainer, module, *_):
        lorae.nn.proximal_step(trainer.optimizers[0], penalty=2e-2)

    def on_train_end(self, trainer, module):
        lorae.nn.proximal_step(trainer.optimizers[0], penalty=2e-2, every=1)
        with torch.no_grad():
            z = module.low_rank(module.encoder(trainer.train_dataloader.dataset.to(module.device)))
        last, first = module.encoder[-1], module.decoder[0]
        module.encoder[-1], module.decoder[0] = lorae.nn.truncate(last, module.low_rank, first, z)
        module.low_rank = nn.Identity()


class Network(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 12))
        self.low_rank = lorae.nn.LowRankLinear(12)
        self.decoder = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 20))

    def training_step(self, batch):
        return (self.decoder(self.low_rank(self.encoder(batch))) - batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=5e-3)


torch.manual_seed(0)
x = torch.tanh(torch.randn(256, 3) @ torch.randn(3, 20))
network = Network()
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = lightning.Trainer(max_epochs=25, accelerator="cpu", devices=1, callbacks=[LowRank()], **quiet)
trainer.fit(network, DataLoader(x, batch_size=32, shuffle=True))

width = network.encoder(x).shape[1]
print(f"latent of {width} coordinates in place of 12, error {network.training_step(x):.4f}")
assert 0 < width < 12
assert isinstance(network.low_rank, nn.Identity)
