"""Measuring a checkpoint on test digits. Never imported by the service."""

from models.evaluation.evaluate import Figures, evaluate
from models.evaluation.likelihood import Evidence, Precision, importance_sample

__all__ = ["Evidence", "Figures", "Precision", "evaluate", "importance_sample"]
