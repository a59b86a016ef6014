"""Measurements of the paper's theorems: convergence, rank and distance contrast."""
