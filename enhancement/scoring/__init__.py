"""Metrics, named protocols, and the scores that they give."""

from . import protocols

__all__ = ["protocols"]
