"""Downstream classification: accuracy with few labels, on frozen latents and from raw items."""

from lorae.evaluation.classification.checkpoints import TrainingCheckpoints
from lorae.evaluation.classification.heads import classify
from lorae.evaluation.classification.probes import probe, total_draws
from lorae.evaluation.classification.protocol import COUNTS, PROTOCOLS, SEEDS, total_steps
from lorae.evaluation.classification.supervised import supervised

__all__ = [
    "COUNTS",
    "PROTOCOLS",
    "SEEDS",
    "TrainingCheckpoints",
    "classify",
    "probe",
    "supervised",
    "total_draws",
    "total_steps",
]
