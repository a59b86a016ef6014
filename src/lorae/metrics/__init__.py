"""Metrics of latents, reconstructions and samples."""
