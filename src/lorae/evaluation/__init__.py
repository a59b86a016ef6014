"""Measures of trained runs with their protocols, and figures. The package itself imports no torch."""

from lorae.config.evaluation_settings import EvaluationSettings

__all__ = ["EvaluationSettings"]
