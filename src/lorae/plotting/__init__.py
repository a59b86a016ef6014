"""Figures and image grids. Imports no torch."""
