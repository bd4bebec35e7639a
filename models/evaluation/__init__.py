"""Measuring a checkpoint on test digits. Never imported by the service."""

from models.evaluation.evaluate import evaluate
from models.evaluation.likelihood import importance_sampled_log_likelihood

__all__ = ["evaluate", "importance_sampled_log_likelihood"]
