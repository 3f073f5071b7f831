"""Known datasets by name: where their lq and gt folders lie below one root."""

from __future__ import annotations

from dataclasses import dataclass

from enhancement.errors import UserError, hint
from enhancement.paths import locate, missing_hint


@dataclass(frozen=True)
class Layout:
    """A dataset's folders.

    Attributes:
        dataroot: Where it usually lies.
        splits: The (lq, gt) folders of each split, below the root; the first pair that exists is
            taken.
        protocol: How it is scored unless one is asked for; None leaves it to the training's.
    """

    dataroot: str
    splits: dict[str, list[tuple[str, str]]]
    protocol: str | None = None


LOL_V2_SPLITS = {"train": [("Train/Low", "Train/Normal")], "test": [("Test/Low", "Test/Normal")]}

# the one list of layouts: an option file's `layout` and `enhance data` read it from here
LAYOUTS = {
    "LOL_v1": Layout(
        "datasets/LOLv1",
        {
            "train": [("Train/input", "Train/target"), ("our485/low", "our485/high")],
            "test": [("Test/input", "Test/target"), ("eval15/low", "eval15/high")],
        },
    ),
    "LOL_v2_real": Layout("datasets/LOLv2/Real_captured", LOL_V2_SPLITS),
    "LOL_v2_synthetic": Layout("datasets/LOLv2/Synthetic", LOL_V2_SPLITS),
    "high_low": Layout(
        "datasets/high_low",
        {
            "train": [("train/low", "train/high"), ("training/low", "training/high")],
            "val": [("val/low", "val/high")],
            "test": [
                ("test/low", "test/high"),
                ("evaluation/low", "evaluation/high"),
                ("low", "high"),
            ],
        },
    ),
    "capsule": Layout(
        "datasets/KCL",
        {
            "train": [("training/low", "training/high")],
            "val": [("val/low", "val/high")],
            "test": [("evaluation/low", "evaluation/high")],
        },
    ),
    "surgical_video": Layout(
        "datasets/SurgicalVideo",
        {split: [(f"{split}/low", f"{split}/high")] for split in ("train", "val", "test")},
        protocol="video",
    ),
}


def layout_folders(layout: str, dataroot: str | None, split: str) -> tuple[str, str]:
    """The (lq, gt) folders of a split.

    Args:
        layout: A key of LAYOUTS.
        dataroot: The dataset's root; None takes the usual place.
        split: "train", "val" or "test".

    Raises:
        UserError: There is no such layout, it has no such split, or none of its folders exist.
    """
    if layout not in LAYOUTS:
        raise UserError(f"unknown layout '{layout}'; {hint(layout, LAYOUTS)}")
    known = LAYOUTS[layout]
    root = dataroot or known.dataroot
    if split not in known.splits:
        raise UserError(
            f"layout {layout} has no '{split}' split; it has: {', '.join(known.splits)}"
        )
    choices = known.splits[split]
    for lq, gt in choices:
        if locate(f"{root}/{lq}").is_dir() and locate(f"{root}/{gt}").is_dir():
            return f"{root}/{lq}", f"{root}/{gt}"
    wanted = " or ".join(f"{{{lq},{gt}}}" for lq, gt in choices)
    raise UserError(f"{locate(root)}: expected {wanted} in it; {missing_hint(root)}")
