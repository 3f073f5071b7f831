"""Datasets: what they read, how it is paired, divided, cropped and degraded.

A new dataset class is one line in this list; a layout is one entry in layouts.py, a degradation
one in degradations.py.
"""

if __name__ == "data":  # datasets are registered once
    raise ImportError("this folder is the package `enhancement.data`; import it by that name")

from . import basicsr_lmdb, mixed_dataset, paired_dataset, synthesis_dataset, unpaired_dataset

__all__ = [
    "basicsr_lmdb",
    "mixed_dataset",
    "paired_dataset",
    "synthesis_dataset",
    "unpaired_dataset",
]
