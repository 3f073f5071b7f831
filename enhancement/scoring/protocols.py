"""Named scoring protocols. A score is meaningless without its protocol's name.

| protocol | metrics |
| --- | --- |
| `basicsr` | PSNR of 8-bit RGB; SSIM of 8-bit RGB with an 11x11 Gaussian window, sigma 1.5, over |
|  | the valid region, averaged over channels |
| `retinexformer` | PSNR of RGB before rounding, 100 dB if equal; SSIM as above |
| `capsule` | PSNR of 8-bit RGB; SSIM by scikit-image's default, 7x7 uniform; LPIPS (AlexNet) |
| `no_reference` | NIQE, and LOE against the input: neither needs a ground truth |
| `video` | `basicsr`'s of every frame, averaged over a clip; the clip's flicker and warping error |
| `segmentation` | Dice and mIoU of masks |
| `detection` | mean average precision of a detector's boxes |

`+gtmean` variants first scale the output's brightness to the ground truth's: they are protocols of
their own, because they flatter. PSNR and SSIM are computed in float64, on the images' device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from torch import Tensor

from enhancement.colour import LUMA
from enhancement.errors import UserError, hint
from enhancement.scoring.metrics import (
    DICE,
    FLICKER,
    FLOAT_PSNR,
    LOE,
    LPIPS,
    MAP,
    MAP_50,
    MIOU,
    NIQE,
    PSNR,
    SSIM,
    UNIFORM_SSIM,
    WARPING,
    Metric,
)

GT_MEAN = "+gtmean"


def _grey_mean(x: Tensor, weights: tuple[float, ...]) -> Tensor:
    return (x.double() * x.new_tensor(weights).double().view(1, 3, 1, 1)).sum(1).mean()


def gt_mean_grey(output: Tensor, gt: Tensor) -> Tensor:
    """Scale the output so that its mean grey (BT.601) equals the ground truth's, then clip."""
    ratio = _grey_mean(gt, LUMA) / _grey_mean(output, LUMA).clamp_min(1e-12)
    return (output.double() * ratio).clamp(0, 1)


def gt_mean_retinexformer(output: Tensor, gt: Tensor) -> Tensor:
    """Retinexformer's own scaling, exactly: it applies the grey weights of BGR to RGB images.

    Its test script converts an RGB array with OpenCV's BGR-to-grey, so red is weighted 0.114 and
    blue 0.299. Kept, because published `GT_mean` scores were made so; HVI-CIDNet's 8-bit true grey
    gives other numbers.
    """
    swapped = LUMA[::-1]
    ratio = _grey_mean(gt, swapped) / _grey_mean(output, swapped).clamp_min(1e-12)
    return (output.double() * ratio).clamp(0, 1)


@dataclass(frozen=True)
class Protocol:
    """A named way of scoring: an ordered set of metrics.

    All are of images, or all of masks; or, of clips, some of their frames and some of the whole.

    Attributes:
        name: As printed, logged and saved with every score.
        metrics: In the order of the table's columns.
        gt_mean: Brightness scaling before scoring, for the `+gtmean` variants.
    """

    name: str
    metrics: tuple[Metric, ...]
    gt_mean: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def compares(self) -> str:
        """What it scores: "image", "mask", "clip" or "objects"."""
        return self.metrics[-1].compares

    @property
    def needs_truth(self) -> bool:
        """Whether it looks at ground truths; if not, there may be none."""
        return any(metric.needs_truth for metric in self.metrics)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its metrics: what `val.select_by` may be."""
        return tuple(metric.name for metric in self.metrics)

    def names_for_validation(self, select_by: str) -> tuple[str, ...]:
        """All but the costly metrics, and the one that chooses checkpoints."""
        chosen = (m for m in self.metrics if not m.costly or m.name == select_by)
        return tuple(metric.name for metric in chosen)

    def select(self, names: Iterable[str] | None = None) -> tuple[Metric, ...]:
        """Metrics by their names, in the protocol's order; None takes all but the costly ones.

        Raises:
            UserError: The protocol has no such metric; lists its own.
        """
        if names is None:
            return tuple(metric for metric in self.metrics if not metric.costly)
        wanted = set(names)
        for name in sorted(wanted - set(self.names)):
            raise UserError(f"protocol {self.name} has no '{name}'; {hint(name, self.names)}")
        return tuple(metric for metric in self.metrics if metric.name in wanted)

    def adjust(self, output: Tensor, gt: Tensor | None) -> Tensor:
        """The output as it is scored: clipped to [0, 1], scaled in `+gtmean` variants."""
        if self.compares == "mask":
            return output
        output = output.clamp(0, 1)
        return self.gt_mean(output, gt) if self.gt_mean and gt is not None else output

    def score(
        self,
        output: Tensor,
        gt: Tensor | None,
        metrics: Iterable[Metric] | None = None,
        lq: Tensor | None = None,
    ) -> dict[str, float]:
        """The scores of one image, of one frame of a clip, or of a batch of masks.

        Args:
            output, gt: (1, 3, H, W) in [0, 1], or boolean masks (N, H, W); on one device. `gt` may
                be None if the protocol needs no ground truth.
            metrics: From `select`; None takes all but the costly ones. Those of clips are left out.
            lq: What the output was made from, for the metrics that compare with it.

        Raises:
            UserError: There is no ground truth or input but one is needed, the two differ in
                shape, or are too small for SSIM or NIQE.
        """
        if gt is None and self.needs_truth:
            raise UserError(
                f"protocol {self.name} compares with ground truths, which the set has none of; "
                f"score it by {NO_REFERENCE.name}"
            )
        if gt is not None and output.shape != gt.shape:
            raise UserError(
                f"expected output and ground truth of one shape, "
                f"but got {tuple(output.shape)} and {tuple(gt.shape)}"
            )
        output = self.adjust(output, gt)
        chosen = self.select() if metrics is None else metrics
        others = {"truth": gt, "input": lq, "nothing": None}
        return {
            metric.name: metric.function(output, others[metric.against])
            for metric in chosen
            if metric.compares != "clip"
        }


def _with_gt_mean(protocol: Protocol) -> Protocol:
    scaling = gt_mean_retinexformer if protocol.name == "retinexformer" else gt_mean_grey
    return replace(protocol, name=protocol.name + GT_MEAN, gt_mean=scaling)


_PLAIN = (
    Protocol("basicsr", (PSNR, SSIM)),
    Protocol("retinexformer", (FLOAT_PSNR, SSIM)),
    Protocol("capsule", (PSNR, UNIFORM_SSIM, LPIPS)),
)
NO_REFERENCE = Protocol("no_reference", (NIQE, LOE))
DETECTION = Protocol("detection", (MAP, MAP_50))
VIDEO = Protocol("video", (PSNR, SSIM, FLICKER, WARPING))
SEGMENTATION = Protocol("segmentation", (DICE, MIOU))
_FLATTERING = map(_with_gt_mean, _PLAIN)
_OTHERS = (NO_REFERENCE, VIDEO, SEGMENTATION, DETECTION)
PROTOCOLS = {p.name: p for p in (*_PLAIN, *_FLATTERING, *_OTHERS)}


def protocols_for(*compares: str) -> dict[str, Protocol]:
    """The protocols that score an "image", a "mask", a "clip" or "objects"."""
    return {name: p for name, p in PROTOCOLS.items() if p.compares in compares}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UserError: No such protocol; lists them.
    """
    if name not in PROTOCOLS:
        raise UserError(f"unknown protocol '{name}'; {hint(name, PROTOCOLS)}")
    return PROTOCOLS[name]
