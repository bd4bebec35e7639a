"""The data that models are trained on: reading it, fetching it, saying what it is."""

from models.data.fetch import MIRRORS, FetchEvent, fetch_mnist
from models.data.idx import read_idx, write_idx
from models.data.mnist import SHA256, Digits, FileInfo, info, load_mnist, origin, readable

__all__ = [
    "MIRRORS",
    "SHA256",
    "Digits",
    "FetchEvent",
    "FileInfo",
    "fetch_mnist",
    "info",
    "load_mnist",
    "origin",
    "read_idx",
    "readable",
    "write_idx",
]
