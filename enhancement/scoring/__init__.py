"""Metrics, named protocols, and the scores that they give."""

from . import basicsr_metrics

__all__ = ["basicsr_metrics"]
