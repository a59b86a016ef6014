"""Proximal steps for the low-rank matrix, and helpers for Adam."""

from lorae.optim.proximal_adam import SHRINK_EVERY, ProximalAdam

__all__ = ["SHRINK_EVERY", "ProximalAdam"]
