"""Making checkpoints: recipes, the training loop, and what it leaves on the disk. Never imported by the service."""

from models.recipe import Recipe, load_recipe
from models.training.reporting import EpochReport, Reporter
from models.training.run import train

__all__ = ["EpochReport", "Recipe", "Reporter", "load_recipe", "train"]
