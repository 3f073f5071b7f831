"""What every dataset of ours shares: options, subsets, cache, cuts and repeatable randomness."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from enhancement.errors import UserError, hint

from .images import Array, to_float
from .masks import Masks
from .sources import Source
from .splits import split_by_scene
from .transforms import Frame, pad_to, random_crop, random_flips, resize

logger = logging.getLogger("enhancement")

Found = tuple[list[Source], list[tuple[str, ...]], list[str]]


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """Option keys of every dataset of ours.

    Attributes:
        phase: "train" cuts, flips and rotates at random; "val" and "test" do not.
        gt_size: Side, or [height, width], of the cut: random in training, central otherwise.
        resize: [height, width] that whole images are brought to before the cut.
        use_hflip, use_rot: Mirror; turn by multiples of 90 degrees. Training only.
        cache: "ram" decodes every image once, before training.
        on_error: "skip" drops unreadable images and odd pairs, counts and names them.
        val_fraction, test_fraction: Shares held out by scene for those subsets.
        subset: Which part this is; None takes everything.
        include: Names (with or without extension) to take; None takes every image.
        seed: Of cuts, flips and degradations, together with the epoch and the index.
        dataroot_mask: Folder or LMDB of lesion masks, one of the gt's name for each image.
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
    subset: Literal["train", "val", "test"] | None = None
    include: list[str] | None = None
    seed: int = 0
    dataroot_mask: str | None = None

    def masks(self) -> str | None:
        """Where the masks are; None where there are none."""
        return self.dataroot_mask

    def __post_init__(self) -> None:
        sizes = [self.gt_size] if isinstance(self.gt_size, int) else list(self.gt_size or ())
        if any(n < 1 for n in (*sizes, *(self.resize or ()))):
            raise UserError("gt_size and resize must be above 0")
        shares = (self.val_fraction, self.test_fraction)
        if min(shares) < 0 or sum(shares) >= 1:
            raise UserError(
                f"val_fraction and test_fraction must be at least 0 and leave something to train "
                f"on, but got {shares[0]} and {shares[1]}"
            )
        if self.subset in ("val", "test") and not getattr(self, f"{self.subset}_fraction"):
            raise UserError(f"subset: {self.subset} needs {self.subset}_fraction above 0")

    @classmethod
    def pick(cls, opt: dict[str, Any]) -> DatasetOptions:
        """Our keys out of a dataset block; lists become tuples."""
        names = {f.name for f in fields(cls)}
        chosen = {k: v for k, v in opt.items() if k in names and v is not None}
        for key in ("gt_size", "resize"):
            if isinstance(chosen.get(key), list):
                chosen[key] = tuple(chosen[key])
        return cls(**chosen)


_divided: dict[Any, dict[str, list[int]]] = {}  # a set is divided once, not once a subset


def _subsets(source: Source, names: list[str], shares: dict[str, float]) -> dict[str, list[int]]:
    key = (source.root, tuple(names), tuple(shares.items()))
    if key not in _divided:
        _divided[key] = split_by_scene(source, names, shares)
    return _divided[key]


def shortened(faults: list[str], limit: int = 10) -> list[str]:
    """The first faults, and how many more there are."""
    more = [f"and {len(faults) - limit} more"] if len(faults) > limit else []
    return faults[:limit] + more


def included(
    samples: list[tuple[str, ...]], wanted: list[str] | None, source: Source
) -> list[tuple[str, ...]]:
    """The samples whose gt bears a wanted name, with or without folder and extension.

    Raises:
        UserError: A name fits none or several.
    """
    if wanted is None:
        return samples
    known: dict[str, list[tuple[str, ...]]] = {}
    for sample in samples:
        path = PurePosixPath(sample[-1])
        for name in {str(path), path.name, path.stem, str(path.with_suffix(""))}:
            known.setdefault(name, []).append(sample)
    for name in wanted:
        if name not in known:
            raise UserError(f"{source.root}: no image '{name}'; {hint(name, known)}")
        if len(known[name]) > 1:
            both = " and ".join(sample[-1] for sample in known[name][:2])
            raise UserError(f"{source.root}: '{name}' names {both}; say which")
    return [known[name][0] for name in wanted]


class EnhancementDataset(Dataset[dict[str, Any]]):
    """Samples of one or two images by name, cut alike, as float tensors.

    A subclass says which files make a sample (`find`) and what becomes of the cut (`finish`).
    With `dataroot_mask` a sample has a `mask` too, (1, H, W) of 0 and 1, cut and turned alike.

    Args:
        opt: A dataset block of the option file; see the class's `Options`.

    Raises:
        UserError: Folders, names or images are not as they should be; the text names the file.
    """

    Options: ClassVar[type[DatasetOptions]] = DatasetOptions

    def __init__(self, opt: dict[str, Any]):
        self.opt = opt
        self.options: Any = self.Options.pick(opt)
        self.sources, self.samples, self.skipped = self.find(self.options)
        self.masks: Masks | None = None
        root = self.options.masks()
        if root:
            self.masks = Masks(root, self.sources[-1])
            unmasked = [s for s in self.samples if s[-1] not in self.masks.of]
            if unmasked and self.options.on_error == "raise":
                raise UserError("\n".join(shortened(self.masks.faults)))
        self._cache: list[list[Array]] | None = None
        if self.skipped and self.options.on_error == "raise":
            raise UserError("\n".join(shortened(self.skipped)))
        self.samples = included(self.samples, self.options.include, self.sources[-1])
        if self.options.on_error == "skip":
            self._drop_unreadable()
        self._take_subset()
        if self.options.cache == "ram":
            with ThreadPoolExecutor() as pool:
                self._cache = list(pool.map(self._read, self.samples))

    @classmethod
    def find(cls, options: Any) -> Found:
        """The sources (the last is the gt's), each sample's names in them, and lines of faults."""
        raise NotImplementedError

    @classmethod
    def check(cls, opt: dict[str, Any]) -> list[str]:
        """Everything wrong with the files of a dataset block, without decoding an image."""
        try:
            options: Any = cls.Options.pick(opt)
            sources, samples, faults = cls.find(options)
            included(samples, options.include, sources[-1])
            if options.masks():
                faults = faults + Masks(options.masks(), sources[-1], check=True).faults
        except UserError as error:
            return str(error).splitlines()
        return shortened(faults) if options.on_error == "raise" else []

    def finish(self, images: list[Array], frame: Frame, rng: np.random.Generator) -> list[Array]:
        """(lq, gt) as float32 arrays in [0, 1], from the cut images."""
        raise NotImplementedError

    def _drop_unreadable(self) -> None:
        def fault(sample: tuple[str, ...]) -> str | None:
            try:
                self._read(sample)
            except UserError as error:
                return str(error)
            return None

        with ThreadPoolExecutor() as pool:
            faults = list(pool.map(fault, self.samples))
        total = len(self.samples) + len(self.skipped)
        self.skipped += [text for text in faults if text]
        self.samples = [s for s, text in zip(self.samples, faults, strict=True) if not text]
        if self.skipped:
            logger.warning("Skipped %d of %d samples:", len(self.skipped), total)
            for text in self.skipped:
                logger.warning("  %s", text)
        if not self.samples:
            raise UserError(f"{self.sources[-1].root}: every sample was skipped")

    def _take_subset(self) -> None:
        o = self.options
        shares = {k: getattr(o, f"{k}_fraction") for k in ("test", "val")}
        if o.subset is None or not any(shares.values()):
            return
        names = [sample[-1] for sample in self.samples]
        chosen = _subsets(self.sources[-1], names, shares)[o.subset]
        if not chosen:
            raise UserError(
                f"{self.sources[-1].root}: {len(names)} images leave none for '{o.subset}' "
                f"(val_fraction {o.val_fraction}, test_fraction {o.test_fraction})"
            )
        self.samples = [self.samples[i] for i in chosen]

    def _read(self, sample: tuple[str, ...]) -> list[Array]:
        """A sample's images and, behind them, its mask where there are masks."""
        images = [source.read(name) for source, name in zip(self.sources, sample, strict=True)]
        names = [source.where(name) for source, name in zip(self.sources, sample, strict=True)]
        if self.masks:
            images.append(self.masks.read(sample[-1]))
            names.append(f"its mask in {self.masks.source.root}")
        sizes = {image.shape[:2] for image in images}
        if len(sizes) > 1:
            shown = [
                f"{name} is {image.shape[1]}x{image.shape[0]}"
                for name, image in zip(names, images, strict=True)
            ]
            raise UserError(f"a pair must have one size, but {' and '.join(shown)}")
        return resize(images, self.options.resize) if self.options.resize else images

    def _cut(
        self, images: list[Array], size: int | tuple[int, int] | None, rng: np.random.Generator
    ) -> tuple[list[Array], Frame]:
        whole = Frame(0, 0, *images[0].shape[:2])
        if not size:
            return images, whole
        height, width = _pair(size)
        if self.options.phase == "train":
            return random_crop(images, (height, width), rng)
        padded = [pad_to(image, height, width) for image in images]
        _, pad_top, pad_left = padded[0]
        top = (padded[0][0].shape[0] - height) // 2
        left = (padded[0][0].shape[1] - width) // 2
        cut = [image[top : top + height, left : left + width] for image, _, _ in padded]
        return cut, Frame(top - pad_top, left - pad_left, whole.height, whole.width)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch = getattr(index, "epoch", 0)
        rng = np.random.default_rng((self.options.seed, epoch, int(index)))
        sample = self.samples[index]
        images = self._cache[index] if self._cache is not None else self._read(sample)
        size = getattr(index, "gt_size", None) or self.options.gt_size
        images, frame = self._cut(images, size, rng)
        mask = images[len(self.sources) :]
        images = [*self.finish(images[: len(self.sources)], frame, rng), *mask]
        if self.options.phase == "train":
            images = random_flips(images, rng, self.options.use_hflip, self.options.use_rot)
        tensors = dict(zip(("lq", "gt", "mask"), map(_tensor, images), strict=False))
        return {
            **tensors,
            "name": sample[0],
            "lq_path": self.sources[0].where(sample[0]),
            "gt_path": self.sources[-1].where(sample[-1]),
        }


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _tensor(image: Array) -> torch.Tensor:
    chw = np.ascontiguousarray(image.transpose(2, 0, 1))
    return torch.from_numpy(chw if chw.dtype == np.float32 else to_float(chw))
