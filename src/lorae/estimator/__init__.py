"""The scikit-learn front: `LoRAE`, a transformer that finds the number of curved directions, and its display."""

from lorae.estimator.display import SpectrumDisplay as SpectrumDisplay
from lorae.estimator.transformer import LoRAE as LoRAE
