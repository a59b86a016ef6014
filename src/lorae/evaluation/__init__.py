"""A trained run and its data -> numbers with their protocol, and figures. Imports no torch by itself."""

from lorae.config.evaluation_settings import EvaluationSettings

__all__ = ["EvaluationSettings"]
