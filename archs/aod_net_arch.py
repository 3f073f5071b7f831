"""AOD-Net: All-in-One Dehazing Network (Li et al., ICCV 2017).

Paper: https://openaccess.thecvf.com/content_iccv_2017/html/Li_AOD-Net_All-In-One_Dehazing_ICCV_2017_paper.html
Published weights (`e_conv1` to `e_conv5`, 1761 parameters) load strictly.
Differs in: before training, K starts near 1 (the identity) instead of at random.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from .contract import Network
from .parts.haze import haze_free, start_at_identity
from .published import Published


@ARCH_REGISTRY.register()
class AODNet(Network):
    """Estimates K(x), which joins transmission and airlight, and solves for the clear image.

    1761 parameters; an output pixel depends on the 7 pixels around it in each direction.
    """

    family = "dehazing"

    published = Published(marks=tuple(rf"e_conv{i}\.weight" for i in range(1, 6)))

    def __init__(self) -> None:
        super().__init__()
        self.e_conv1 = nn.Conv2d(3, 3, 1)
        self.e_conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.e_conv3 = nn.Conv2d(6, 3, 5, padding=2)
        self.e_conv4 = nn.Conv2d(6, 3, 7, padding=3)
        self.e_conv5 = nn.Conv2d(12, 3, 3, padding=1)
        start_at_identity(self.e_conv5)

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1] to the same shape, at least 0."""
        x1 = torch.relu(self.e_conv1(x))
        x2 = torch.relu(self.e_conv2(x1))
        x3 = torch.relu(self.e_conv3(torch.cat((x1, x2), 1)))
        x4 = torch.relu(self.e_conv4(torch.cat((x2, x3), 1)))
        k = torch.relu(self.e_conv5(torch.cat((x1, x2, x3, x4), 1)))
        return haze_free(x, k)
