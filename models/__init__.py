"""Autoencoders: networks, objectives, checkpoints, data, training and evaluation. Knows nothing of HTTP.

Nothing is imported here, so that what needs no torch (`models.errors`, say) does not wait for it:
`from models.checkpoint import load_checkpoint`, `from models.vae import VAE`, and so on.
"""
