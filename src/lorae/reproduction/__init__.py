"""Reproduction of the paper's tables, figures and theorems, and a comparison with its claims."""

from lorae.reproduction.run import reproduce, status

__all__ = ["reproduce", "status"]
