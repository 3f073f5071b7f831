"""The dual-generalization framework for capsule endoscopy: IGLFM, then BLGM, then WSGM.

A Dual-Generalization Low-Light Enhancement Framework for Capsule Endoscopy Image Restoration and
Segmentation (Wang et al., IEEE Transactions on Medical Imaging 2025).
Published code: https://github.com/superwsc/Dual-Gen-Frame

IGLFM enhances, BLGM generalizes over brightness levels, WSGM over the task that follows, which is
segmentation. Each stage is trained with those before it frozen (options/capsule).
Differs in: the three parts say so themselves; padding to their multiple happens here.
"""

from __future__ import annotations

from typing import Literal

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from enhancement.arguments import require_at_least, require_one_of

from .blgm_arch import BLGM, illumination_vector
from .contract import Network
from .iglfm_arch import IGLFM
from .parts.folding import fold_prelu
from .parts.padding import pad_to_multiple
from .parts.tile_context import global_statistics
from .published import Published
from .wsgm_arch import WSGM


@ARCH_REGISTRY.register()
class DualGeneralization(Network):
    """IGLFM, BLGM and WSGM in a chain, as far as `stage` says.

    From stage 2 on, IGLFM's own image serves `stages` alone: its last convolution is not trained,
    but loaded with the rest of IGLFM.

    Args:
        stage: 1 is IGLFM alone, 2 adds BLGM, 3 adds WSGM.
        width: Channels of IGLFM, a multiple of 16.
        groups: IGLFM's groups of blocks.
        blocks: Feature fusion blocks of a group.
        mcc: Matrixed colour correction in IGLFM; the published weights are without.
        blgm_width: Channels of BLGM at full size.
        wsgm_width: Channels of WSGM.

    Raises:
        ValueError: A number is out of range.
    """

    family = "endoscopy"

    published = Published(
        marks=BLGM.published.marks,
        refused="holds BLGM alone, which goes on from IGLFM's feature; train DualGeneralization "
        "with it as train.frozen.blgm (options/capsule/2_blgm.yml)",
    )

    def __init__(
        self,
        stage: Literal[1, 2, 3] = 3,
        width: int = 64,
        groups: int = 3,
        blocks: int = 2,
        mcc: bool = True,
        blgm_width: int = 64,
        wsgm_width: int = 64,
    ) -> None:
        super().__init__()
        require_one_of((1, 2, 3), stage=stage)
        require_at_least(1, blgm_width=blgm_width, wsgm_width=wsgm_width)
        self.iglfm = IGLFM(width, groups, blocks, mcc)
        self.iglfm.out.requires_grad_(stage == 1)  # later stages go on from the feature alone
        self.blgm = BLGM(width // 2, blgm_width) if stage > 1 else None
        self.wsgm = WSGM(wsgm_width) if stage > 2 else None

    def fold(self) -> nn.Module:
        """With leaky ReLUs in place of PReLUs."""
        return fold_prelu(self)

    def stages(self, x: Tensor) -> dict[str, Tensor]:
        """Each stage's output, in order.

        Args:
            x: (B, 3, H, W) in [0, 1], of any size.

        Returns:
            "iglfm", "blgm" and "wsgm", as far as they are there: (B, 3, H, W) each.
        """
        height, width = x.shape[-2:]
        padded = pad_to_multiple(x, BLGM.size_multiple)
        image, feature = self.iglfm.with_feature(padded)
        outputs = {"iglfm": image}
        if self.blgm is not None:
            vector = global_statistics(lambda: illumination_vector(x))
            outputs["blgm"] = self.blgm(feature, vector)
        if self.wsgm is not None:
            outputs["wsgm"] = self.wsgm(outputs["blgm"])
        return {name: output[..., :height, :width] for name, output in outputs.items()}

    def forward(self, x: Tensor) -> Tensor:
        """The last stage's output: (B, 3, H, W) in [0, 1], of any size, to the same shape."""
        return list(self.stages(x).values())[-1]
