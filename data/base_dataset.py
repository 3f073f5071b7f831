"""EnhancementDataset: from file names to float tensors, the same for every dataset class."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.data import Dataset

from enhancement.errors import UserError, shortened

from .clips import ClipSource
from .dataset_options import DatasetOptions
from .images import Array, to_float
from .masks import Masks
from .reading import SampleReader
from .selection import Sample, check_divisible, included, subset_of
from .sources import Source
from .transforms import Frame, central_crop, random_crop, random_flips

logger = logging.getLogger("enhancement")

Found = tuple[list[Source], list[Sample], list[str]]


class EnhancementDataset(Dataset[dict[str, Any]]):
    """Images, mostly pairs of lq and gt, as float tensors, cropped, flipped and rotated alike.

    A subclass says which files make a sample (`find`), what becomes of the crop (`finish`), and
    what it gives, if not lq and gt (`gives`).
    With `dataroot_mask` a sample has a `mask` too, (1, H, W) of 0 and 1, transformed alike.

    Args:
        opt: A dataset block of the option file; see the class's `Options`.

    Raises:
        UserError: An option, a folder or an image is wrong; the text names it.
    """

    Options: ClassVar[type[DatasetOptions]] = DatasetOptions
    gives: ClassVar[tuple[str, ...]] = ("lq", "gt")
    nested: ClassVar[dict[str, dict[str, type]]] = {}

    def __init__(self, opt: dict[str, Any]):
        self.opt = opt
        self.options: Any = self.Options.pick(opt)
        self.sources, samples, self.skipped = self.find(self.options)
        check_divisible(self.options, self.sources[-1])
        root = self.options.masks()
        self.masks = Masks(root, self.sources[-1]) if root else None
        if self.options.on_error == "raise":
            unmasked = self.masks and any(s[-1] not in self.masks.of for s in samples)
            faults = self.masks.faults if self.masks and unmasked else self.skipped
            if faults:
                raise UserError("\n".join(shortened(faults)))
        self._reader = SampleReader(self.sources, self.masks, self.options.resize)
        samples = included(samples, self.options.include, self.sources[-1])
        if self.options.on_error == "skip":
            samples = self._readable(samples)
        self.samples = subset_of(samples, self.options, self.sources[-1])
        cached = self.options.cache == "ram"
        self._cache = self._reader.read_all(self.samples) if cached else None

    @classmethod
    def find(cls, options: Any) -> Found:
        """The sources (the gt's last), each sample's names in them, and a line for each fault."""
        raise NotImplementedError

    @classmethod
    def parts(cls, opt: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The blocks of the datasets that this one is made of, by name; none if of one piece."""
        return {}

    @classmethod
    def check(cls, opt: dict[str, Any]) -> list[str]:
        """Everything wrong with a dataset block and its files, without decoding an image."""
        try:
            options: Any = cls.Options.pick(opt)
            sources, samples, faults = cls.find(options)
            check_divisible(options, sources[-1])
            included(samples, options.include, sources[-1])
            if options.masks():
                faults = faults + Masks(options.masks(), sources[-1], check=True).faults
        except UserError as error:
            return str(error).splitlines()
        return shortened(faults) if options.on_error == "raise" else []

    def folders(self) -> list[Path]:
        """Where its images and masks lie that are files of their own, not frames of videos."""
        sources = [*self.sources, *([self.masks.source] if self.masks else [])]
        return [source.folder for source in sources if not isinstance(source, ClipSource)]

    def finish(self, images: list[Array], frame: Frame, rng: np.random.Generator) -> list[Array]:
        """What the dataset gives (`gives`: lq and gt) from the cropped images.

        Args:
            images: One from each source, RGB (h, w, 3), uint8 or uint16.
            frame: Where the crop lies in the whole image.
            rng: For everything that is random.

        Returns:
            An array of that size for each: integers as they were read, or float32 in [0, 1].
        """
        raise NotImplementedError

    @property
    def names(self) -> list[str]:
        """The samples' names, in order."""
        return [sample[0] for sample in self.samples]

    def images(self, index: int) -> list[Array]:
        """A sample's whole images, followed by its mask where it has one."""
        return self._cache[index] if self._cache else self._reader.read(self.samples[index])

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch = getattr(index, "epoch", 0)
        rng = np.random.default_rng((self.options.seed, epoch, int(index)))
        size = getattr(index, "gt_size", None) or self.options.gt_size
        images, frame = self._crop(self.images(index), size, rng)
        mask = images[len(self.sources) :]
        images = [*self.finish(images[: len(self.sources)], frame, rng), *mask]
        if self.options.phase == "train":
            images = random_flips(images, rng, self.options.use_hflip, self.options.use_rot)
        tensors = dict(zip((*self.gives, "mask"), map(_tensor, images), strict=False))
        sample = self.samples[index]
        ends = {"lq": 0, "gt": -1}
        paths = {f"{n}_path": self.sources[ends[n]].where(sample[ends[n]]) for n in self.gives}
        return {**tensors, "name": sample[0], **paths}

    def _crop(
        self, images: list[Array], size: int | tuple[int, int] | None, rng: np.random.Generator
    ) -> tuple[list[Array], Frame]:
        if not size:
            return images, Frame(0, 0, *images[0].shape[:2])
        height, width = (size, size) if isinstance(size, int) else size
        if self.options.phase == "train":
            return random_crop(images, (height, width), rng)
        return central_crop(images, (height, width))

    def _readable(self, samples: list[Sample]) -> list[Sample]:
        """The samples that can be read; the others join `skipped`."""
        faults = self._reader.faults(samples)
        total = len(samples) + len(self.skipped)
        self.skipped += [text for text in faults if text]
        if self.skipped:
            logger.warning("Skipped %d of %d samples:", len(self.skipped), total)
            for text in self.skipped:
                logger.warning("  %s", text)
        readable = [s for s, text in zip(samples, faults, strict=True) if not text]
        if not readable:
            raise UserError(f"{self.sources[-1].root}: every sample was skipped")
        return readable


def _tensor(image: Array) -> torch.Tensor:
    chw = np.ascontiguousarray(image.transpose(2, 0, 1))
    return torch.from_numpy(chw if chw.dtype == np.float32 else to_float(chw))
