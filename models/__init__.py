"""Autoencoders: networks, objectives, checkpoints, data, training and evaluation. Knows nothing of HTTP."""

from models.autoencoder import Autoencoder, Posterior
from models.checkpoint import Checkpoint, load_checkpoint
from models.errors import ReparamError
from models.kinds import build
from models.vae import VAE

__all__ = ["VAE", "Autoencoder", "Checkpoint", "Posterior", "ReparamError", "build", "load_checkpoint"]
