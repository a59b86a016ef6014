"""Measures of trained runs with their protocols, and figures. Imports no torch by itself."""

from lorae.config.evaluation_settings import EvaluationSettings

__all__ = ["EvaluationSettings"]
