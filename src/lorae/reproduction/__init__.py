"""The paper's tables, figures and theorems, reproduced from trained models and compared with its claims."""

from lorae.reproduction.run import reproduce, status

__all__ = ["reproduce", "status"]
