"""Numbers about latents, reconstructions and samples; each travels with its protocol."""
