"""Lesion masks that belong to a set's images, by name."""

from __future__ import annotations

from contextlib import suppress

from enhancement.errors import UserError

from .images import Array, to_grey
from .pairing import check_sizes, pair_by_name
from .sources import Source, open_source

THRESHOLD = 127  # grey levels above are foreground
LOOKED_AT = 8  # masks that are decoded to see whether they are labels


def foreground(mask: Array) -> Array:
    """Where a mask, RGB (H, W, 3) of any bit depth, is brighter than THRESHOLD: boolean (H, W)."""
    return to_grey(mask) > THRESHOLD


class Masks:
    """The mask of each ground-truth image.

    Args:
        root: Folder or LMDB of masks, in any image mode.
        gt: The images they belong to.
        check: Also compare the sizes, which reads every header, and look at some masks.

    Attributes:
        of: The mask's name, by the image's.
        faults: A line for each image without a mask and, if checked, with one of another size;
            one line where masks seem to be labels, 0 and 1.
    """

    def __init__(self, root: str, gt: Source, check: bool = False) -> None:
        self.source = open_source(root)
        pairs, _ = pair_by_name(self.source, gt)
        self.of = {image: mask for mask, image in pairs}
        self.faults = [
            f"{gt.where(name)}: has no mask of that name in {root}"
            for name in gt.names
            if name not in self.of
        ]
        if check:
            self.faults += check_sizes(self.source, gt, pairs)
            self.faults += self._label_faults()

    def _label_faults(self) -> list[str]:
        """A line where masks, some of the set looked at, hold something but no foreground."""
        names = list(self.of.values())
        some = names[:: max(1, len(names) // LOOKED_AT)]
        highest: dict[str, float] = {}
        with suppress(UserError):  # one that cannot be read is reported where it is needed
            highest = {name: float(to_grey(self.source.read(name)).max()) for name in some}
        if not any(highest.values()) or max(highest.values()) > THRESHOLD:
            return []
        name = max(highest, key=lambda name: highest[name])
        return [
            f"{self.source.where(name)}: no value is above {THRESHOLD} (the highest is "
            f"{highest[name]:g}), nor in the other masks looked at; expected 0 and 255"
        ]

    def read(self, image: str) -> Array:
        """The mask of an image: (H, W, 1) uint8, 0 or 255.

        Raises:
            UserError: There is none, or it cannot be read.
        """
        if image not in self.of:
            raise UserError(f"{self.source.root}: has no mask for {image}")
        return (foreground(self.source.read(self.of[image])) * 255).astype("uint8")[..., None]
