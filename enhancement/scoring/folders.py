"""Score a folder of outputs, or a video, against its ground truth, its inputs or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from enhancement.data.clips import ClipSource
from enhancement.data.images import Array, to_float
from enhancement.data.masks import THRESHOLD, foreground
from enhancement.data.pairing import check_sizes, pair_by_name
from enhancement.data.sources import Source, open_source
from enhancement.errors import UserError, naming, shortened
from enhancement.paths import locate
from enhancement.scoring.clips import Frame, score_clips
from enhancement.scoring.evaluation import Row, Scorer, Scores
from enhancement.scoring.protocols import Protocol

Progress = Callable[[list["Named"]], Iterable["Named"]]
Named = tuple[str, ...]  # the names of an output and of what it is compared with


@dataclass
class Images:
    """What is to be scored, checked.

    Attributes:
        sources: Of the outputs, and of the ground truths and the inputs where there are any.
        names: Of each output and its partners, in the order of `sources`.
    """

    sources: list[Source]
    names: list[Named]

    @classmethod
    def find(cls, *roots: str) -> Images:
        """Open folders, LMDBs or videos, pair their images and decode each one once.

        Raises:
            UserError: With a line for each image without a partner, of another size, or unreadable.
        """
        sources = [open_source(root) for root in roots]
        first, faults = sources[0], list[str]()
        names: list[Named] = [(name,) for name in first.names]
        for other in sources[1:]:
            pairs, found = _pair(first, other)
            faults += found + check_sizes(first, other, pairs)
            partner = dict(pairs)
            names = [(*known, partner[known[0]]) for known in names if known[0] in partner]
        if not faults:
            faults = unreadable(sources, names)
        if faults:
            raise UserError("\n".join(shortened(faults)))
        return cls(sources, names)

    def read(self) -> Iterator[tuple[Array, ...]]:
        """Each output and its partners."""
        columns = zip(*self.names, strict=True)
        return zip(*map(_read, self.sources, columns), strict=True)


def _read(source: Source, names: Sequence[str]) -> Iterator[Array]:
    return source.walk(names) if isinstance(source, ClipSource) else map(source.read, names)


def _pair(a: Source, b: Source) -> tuple[list[tuple[str, str]], list[str]]:
    """Images paired by name, or the frames of two videos by number; and what has no partner."""
    single = [isinstance(s, ClipSource) and locate(s.root).is_file() for s in (a, b)]
    if not all(single):
        return pair_by_name(a, b)
    if len(a.names) != len(b.names):
        lengths = f"{a.root} has {len(a.names)} frames, {b.root} {len(b.names)}"
        return [], [f"expected two videos of one length, but {lengths}"]
    return list(zip(a.names, b.names, strict=True)), []


def unreadable(sources: list[Source], names: list[Named]) -> list[str]:
    """A line for each image that cannot be decoded completely; videos are left to the scoring."""

    def fault(file: tuple[Source, str]) -> str | None:
        try:
            file[0].read(file[1])
        except UserError as error:
            return str(error)
        return None

    files = [
        (source, name)
        for source, column in zip(sources, zip(*names, strict=True), strict=True)
        for name in column
        if not isinstance(source, ClipSource)
    ]
    with ThreadPoolExecutor() as pool:
        return [text for text in pool.map(fault, files) if text]


def score_folders(
    outputs: str,
    gts: str | None,
    protocol: Protocol,
    dataset: str,
    device: torch.device,
    *,
    inputs: str | None = None,
    progress: Progress = iter,
) -> Scores:
    """Score every image of a folder by all metrics of a protocol.

    Args:
        outputs, gts, inputs: Folders, LMDBs or videos; the protocol says which are needed.
        protocol: One of masks takes what lies above 127 for the foreground.
        dataset: For the table.
        device: Where to compute.
        progress: Wraps the list of images, to show how far it is.

    Raises:
        UserError: Files are missing, differ in size or cannot be read, or inputs are given to a
            protocol that does not look at them: before any is scored.
    """
    if gts is None and protocol.needs_truth:
        raise UserError(f"protocol {protocol.name} compares with ground truths; name their folder")
    if inputs is not None and not any(m.against == "input" for m in protocol.metrics):
        raise UserError(f"protocol {protocol.name} compares nothing with --inputs; leave them out")
    chosen = [m for m in protocol.metrics if inputs or m.against != "input"]
    sides = {"output": outputs, "gt": gts, "input": inputs}
    given = {side: root for side, root in sides.items() if root is not None}
    images = Images.find(*given.values())
    score = Scorer(protocol, device, [metric.name for metric in chosen])
    scores = Scores(protocol.name, dataset, notes=score.notes)
    if len(chosen) < len(protocol.metrics):
        scores.notes.append("LOE not computed: it compares with inputs; name them by --inputs")
    masks = protocol.compares == "mask"
    as_tensor = _mask if masks else _image

    def read() -> Iterator[Frame]:
        for names, arrays in zip(progress(images.names), images.read(), strict=True):
            tensors = [as_tensor(array).to(device) for array in arrays]
            yield names[0], dict(zip(given, tensors, strict=True))

    with torch.inference_mode():
        if protocol.compares == "clip":
            score_clips(read(), score, scores)
        else:
            for name, found in read():
                with naming(name):
                    scored = score(found["output"], found.get("gt"), found.get("input"))
                scores.rows.append(Row(name, {}, scored))
    if masks:
        scores.notes.append(f"foreground is above {THRESHOLD} of 255")
    return scores


def _image(image: Array) -> Tensor:
    """(H, W, 3) to (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(to_float(image)).permute(2, 0, 1)[None].contiguous()


def _mask(image: Array) -> Tensor:
    """(H, W, 3) to a boolean mask (1, H, W)."""
    return torch.from_numpy(foreground(image))[None]
