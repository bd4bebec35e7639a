"""Measuring a checkpoint on test digits. Never imported by the service."""

from models.evaluation.evaluate import Figures, evaluate
from models.evaluation.likelihood import Precision, importance_sampled_log_likelihood

__all__ = ["Figures", "Precision", "evaluate", "importance_sampled_log_likelihood"]
