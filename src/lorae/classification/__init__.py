"""Downstream classification: how well a few labels do on frozen latents, and how well they do without."""

from lorae.classification.heads import classify
from lorae.classification.probes import probe, total_draws
from lorae.classification.protocol import COUNTS, PROTOCOLS, SEEDS, total_steps
from lorae.classification.supervised import supervised
from lorae.classification.unfinished import Trainings

__all__ = ["COUNTS", "PROTOCOLS", "SEEDS", "Trainings", "classify", "probe", "supervised", "total_draws", "total_steps"]
