"""Datasets and blocks over a folder with low/ and high/, for tests."""

from pathlib import Path
from typing import Any

from enhancement.data.blocks import DatasetBlock


def paired_block(root: Path, phase: str = "test", **options: Any) -> DatasetBlock:
    """A PairedDataset's block."""
    roots = {"dataroot_lq": str(root / "low"), "dataroot_gt": str(root / "high")}
    return DatasetBlock.of(phase, {"type": "PairedDataset", **roots, "phase": phase, **options})


def paired(root: Path, phase: str = "test", **options: Any) -> Any:
    """A PairedDataset."""
    return paired_block(root, phase, **options).build()


def synthesis_block(root: Path, phase: str = "train", **options: Any) -> DatasetBlock:
    """A SynthesisDataset's block; low light if nothing else is said."""
    block = {
        "type": "SynthesisDataset",
        "dataroot_gt": str(root / "high"),
        "phase": phase,
        "degradation": {"type": "LowLight"},
    }
    return DatasetBlock.of(phase, {**block, **options})


def synthesis(root: Path, phase: str = "train", **options: Any) -> Any:
    """A SynthesisDataset."""
    return synthesis_block(root, phase, **options).build()
