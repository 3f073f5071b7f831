"""The option keys that every EnhancementDataset reads, validated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from enhancement.errors import UserError

from .splits import folds_of

LONGEST_SIDE = 2**14

Options = TypeVar("Options", bound="DatasetOptions")


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """Option keys of every EnhancementDataset.

    Attributes:
        phase: "train" crops, flips and rotates at random; "val" and "test" do not.
        gt_size: Side, or [height, width], of the crop: random in training, central otherwise.
        resize: [height, width] to which whole images are resized before they are cropped.
        use_hflip: Mirror at random. Training only.
        use_rot: Rotate by random multiples of 90 degrees. Training only.
        cache: "ram" decodes every image once, before training.
        on_error: "skip" leaves out unreadable images and mismatched pairs, and lists them.
        val_fraction, test_fraction: Shares of the images held out, by scene, for these subsets;
            for `val` nothing is, where the layout brings images of its own.
        test_fold: Which share is tested, from 0: five folds with `test_fraction: 0.2` test every
            image once (cross-validation).
        subset: Which of the subsets to take; None takes every image.
        include: Names (with or without extension) to take; None takes every image.
        seed: Of crops, flips and degradations, together with the epoch and the index.
        frame_step: Of videos, one frame in so many is taken.
        dataroot_mask: Folder or LMDB of lesion masks, one with the gt's name for each image.
    """

    phase: Literal["train", "val", "test"] = "train"
    gt_size: int | tuple[int, int] | None = None
    resize: tuple[int, int] | None = None
    use_hflip: bool = True
    use_rot: bool = True
    cache: Literal["none", "ram"] = "none"
    on_error: Literal["raise", "skip"] = "raise"
    val_fraction: float = 0.0
    test_fraction: float = 0.0
    test_fold: int = 0
    subset: Literal["train", "val", "test"] | None = None
    include: list[str] | None = None
    seed: int = 0
    frame_step: int = 1
    dataroot_mask: str | None = None

    def masks(self) -> str | None:
        """The folder or LMDB of the masks; None where there are none."""
        return self.dataroot_mask

    def __post_init__(self) -> None:
        sizes = [self.gt_size] if isinstance(self.gt_size, int) else list(self.gt_size or ())
        if not all(0 < n <= LONGEST_SIDE for n in (*sizes, *(self.resize or ()))):
            raise UserError(f"gt_size and resize must be above 0 and at most {LONGEST_SIDE}")
        if self.frame_step < 1:
            raise UserError(f"frame_step must be above 0, but got {self.frame_step}")
        if self.seed < 0:
            raise UserError(f"seed must be at least 0, but got {self.seed}")
        shares = (self.val_fraction, self.test_fraction)
        if min(shares) < 0 or sum(shares) >= 1:
            raise UserError(
                f"val_fraction and test_fraction must be at least 0 and leave something to train "
                f"on, but got {shares[0]} and {shares[1]}"
            )
        if not 0 <= self.test_fold < folds_of(self.test_fraction):
            raise UserError(
                f"test_fold: expected 0 to {folds_of(self.test_fraction) - 1} with test_fraction "
                f"{self.test_fraction}, but got {self.test_fold}"
            )
        if self.subset in ("val", "test") and not getattr(self, f"{self.subset}_fraction"):
            raise UserError(f"subset: {self.subset} needs {self.subset}_fraction above 0")

    @classmethod
    def pick(cls: type[Options], block: Mapping[str, Any]) -> Options:
        """This class's keys of a dataset block; null stands for the default.

        Raises:
            UserError: A value has the wrong type or is out of range, or a key is missing; a line
                for each key.
        """
        names = {f.name for f in fields(cls)}
        given = {k: v for k, v in block.items() if k in names and v is not None}
        try:
            # JSON's strictness: a list fits a tuple, 1 fits 1.0, "1" fits neither
            return TypeAdapter(cls).validate_json(json.dumps(given, default=str), strict=True)
        except ValidationError as error:
            raise UserError("\n".join(_faults(error, given))) from error


def _faults(error: ValidationError, given: dict[str, Any]) -> list[str]:
    """A line for each key with a fault."""
    expected: dict[str, set[str]] = {}
    for fault in error.errors():
        key, *inside = fault["loc"]
        at = "".join(f"[{part}]" for part in inside if isinstance(part, int))
        text = fault["msg"].removeprefix("Input should be ") + (f" at {at}" if at else "")
        expected.setdefault(str(key), set()).add(text)
    return [
        f"{key}: expected {' or '.join(sorted(texts))}, but got {given[key]!r}"
        if key in given
        else f"{key}: missing; expected a value"
        for key, texts in expected.items()
    ]
