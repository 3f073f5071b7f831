"""Datasets: what they read (sources, layouts), how they pair, split, cut and degrade it."""

from . import paired_dataset, synthesis_dataset

__all__ = ["paired_dataset", "synthesis_dataset"]
