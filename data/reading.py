"""Whole samples read from their sources: the images of a pair, and its mask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from enhancement.errors import UserError

from .images import Array
from .masks import Masks
from .selection import Sample
from .sources import Source
from .transforms import resize


class SampleReader:
    """Reads samples by the file names that make them.

    Args:
        sources: Where each image of a sample is; the last holds the gt.
        masks: The masks of the gt images; None where there are none.
        size: (height, width) to which everything is resized; None leaves it as it is.
    """

    def __init__(
        self, sources: list[Source], masks: Masks | None, size: tuple[int, int] | None
    ) -> None:
        self.sources, self.masks, self.size = sources, masks, size

    def read(self, sample: Sample) -> list[Array]:
        """A sample's images, each RGB (H, W, 3), followed by its mask (H, W, 1) where it has one.

        Raises:
            UserError: A file cannot be read, or the sizes differ.
        """
        images = [source.read(name) for source, name in zip(self.sources, sample, strict=True)]
        if self.masks:
            images.append(self.masks.read(sample[-1]))
        if len({image.shape[:2] for image in images}) > 1:
            shown = [
                f"{name} is {image.shape[1]}x{image.shape[0]}"
                for name, image in zip(self._names(sample), images, strict=True)
            ]
            raise UserError(f"a pair must have one size, but {' and '.join(shown)}")
        return resize(images, self.size) if self.size else images

    def read_all(self, samples: list[Sample]) -> list[list[Array]]:
        """Every sample, read by several threads.

        Raises:
            UserError: One of them cannot be read.
        """
        with ThreadPoolExecutor() as pool:
            return list(pool.map(self.read, samples))

    def faults(self, samples: list[Sample]) -> list[str | None]:
        """For each sample why it cannot be read, or None."""

        def fault(sample: Sample) -> str | None:
            try:
                self.read(sample)
            except UserError as error:
                return str(error)
            return None

        with ThreadPoolExecutor() as pool:
            return list(pool.map(fault, samples))

    def _names(self, sample: Sample) -> list[str]:
        names = [source.where(name) for source, name in zip(self.sources, sample, strict=True)]
        return [*names, f"its mask in {self.masks.source.root}"] if self.masks else names
