"""PairLIE: Learning a Simple Low-light Image Enhancer from Paired Low-light Instances (Fu et al.,
CVPR 2023).

Paper: https://openaccess.thecvf.com/content/CVPR2023/html/Fu_Learning_a_Simple_Low-Light_Image_Enhancer_From_Paired_Low-Light_Instances_CVPR_2023_paper.html
Published code: github.com/zhenqifu/PairLIE; its weights load strictly under readable names.
Differs in: nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from enhancement.arguments import require, require_at_least

from .contract import Network
from .published import Published, Shapes

PARTS = {"L": "illumination", "R": "reflectance", "N": "projection"}  # by the published letters


def _arguments(state: Shapes) -> dict[str, Any]:
    """The width, from a shape."""
    return {"width": len(state["L_net.L_net.1.bias"])}


def five_convolutions(width: int, out_channels: int) -> nn.Sequential:
    """An image (B, 3, H, W) to (B, out_channels, H, W) in [0, 1]."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise((3, width, width, width, width, out_channels)):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(n_in, n_out, 3), nn.ReLU()]
    return nn.Sequential(*layers[:-1], nn.Sigmoid())


@ARCH_REGISTRY.register()
class PairLIE(Network):
    """Projects the image, splits the result into illumination L and reflectance R; gives L^a R.

    Trained on pairs of two exposures of one scene, neither of which need be well exposed. 341,767
    parameters.

    Args:
        exponent: a, to which the illumination is raised; the authors use 0.2, and 0.14 for LOL-v1.
        width: Channels of the features.

    Raises:
        ValueError: A number is not above 0.
    """

    smallest_size = 2  # reflection needs a second pixel
    extra_outputs = ("projection", "illumination", "reflectance", "second_reflectance")
    family = "without ground truth"
    published = Published(
        marks=tuple(rf"{letter}_net\.{letter}_net\.13\.weight" for letter in PARTS),
        arguments=_arguments,
        renames={rf"^{letter}_net\.{letter}_net\.": f"{name}." for letter, name in PARTS.items()},
    )

    def __init__(self, exponent: float = 0.2, width: int = 64) -> None:
        super().__init__()
        require(exponent > 0, "exponent", "above 0", exponent)
        require_at_least(1, width=width)
        self.exponent = exponent
        self.illumination = five_convolutions(width, 1)
        self.reflectance = five_convolutions(width, 3)
        self.projection = five_convolutions(width, 3)

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output, the projection X, L (B, 1, H, W) and R of the first exposure.

        Args:
            lq: The first exposure, (B, 3, H, W) in [0, 1].
            gt: The second one; with it there is its R as well, the `second_reflectance`.
        """
        projection = self.projection(lq)
        illumination, reflectance = self.illumination(projection), self.reflectance(projection)
        found = {
            "output": illumination.pow(self.exponent) * reflectance,
            "projection": projection,
            "illumination": illumination,
            "reflectance": reflectance,
        }
        if gt is not None:
            found["second_reflectance"] = self.reflectance(self.projection(gt))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape and range."""
        return self.outputs(x)["output"]
