"""Measurements of the paper's theorems: convergence, rank and distance contrast."""

import lorae.plotting  # noqa: F401 - it imports matplotlib where MPLBACKEND names no backend
