"""Downstream classification: accuracy with few labels, on frozen latents and from raw items."""

from lorae.evaluation.classification.checkpoints import TrainingCheckpoints as TrainingCheckpoints
from lorae.evaluation.classification.heads import classify as classify
from lorae.evaluation.classification.probes import probe as probe
from lorae.evaluation.classification.probes import total_draws as total_draws
from lorae.evaluation.classification.protocol import total_steps as total_steps
from lorae.evaluation.classification.supervised import supervised as supervised
