"""URetinex-Net: Retinex-based Deep Unfolding Network for Low-light Image Enhancement.

Wu et al., CVPR 2022.

Paper: https://openaccess.thecvf.com/content/CVPR2022/html/Wu_URetinex-Net_Retinex-Based_Deep_Unfolding_Network_for_Low-Light_Image_Enhancement_CVPR_2022_paper.html
Published code: github.com/AndersonYong/URetinex-Net; its three files load strictly from the folder
that holds them (those that hold more than tensors once saved as tensors alone).
Differs in: before training, the biases before the last ReLU of a part are above 0, so that no part
starts dead.
"""

from __future__ import annotations

from typing import Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require, require_at_least, require_one_of

from .contract import Network
from .parts.initialisation import start_alive
from .parts.tile_context import global_statistics
from .published import Published

SLOPE = 0.2  # of every leaky ReLU
RATIO_FLOOR = 1e-4  # of the mean illumination that a training ratio is divided by


class Decomposition(nn.Module):
    """Initialisation: a first reflectance and illumination."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (3, dim, dim):
            layers += [nn.Conv2d(channels, dim, 3, padding=1), nn.LeakyReLU(SLOPE)]
        self.decom = nn.Sequential(*layers, start_alive(nn.Conv2d(dim, 4, 3, padding=1)), nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to (B, 3, H, W) and (B, 1, H, W), both at least 0."""
        reflectance, illumination = self.decom(x).split((3, 1), 1)
        return reflectance, illumination


class SqueezeExcitation(nn.Module):
    """Scales each channel by a factor in (0, 1) from all channels' means."""

    def __init__(self, dim: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, dim // reduction)
        self.fc = nn.Sequential(
            nn.Linear(dim, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, dim, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x * self.fc(global_statistics(lambda: x.mean((2, 3))))[..., None, None]


class ReflectanceRestoration(nn.Module):
    """G_R: the reflectance without its noise, guided by the illumination."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        wide = 2 * dim
        self.conv1 = nn.Conv2d(3, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(1, dim, 3, padding=1)
        self.se_layer = SqueezeExcitation(wide, reduction=16)
        self.conv3 = nn.Conv2d(wide, wide, 3, padding=1)
        self.conv4 = nn.Conv2d(wide, wide, 3, padding=1)
        self.conv5 = nn.Conv2d(wide, wide, 3, padding=1)
        self.conv6 = nn.Conv2d(wide, wide, 3, padding=1)
        self.conv7 = nn.Conv2d(wide, wide, 3, padding=1)
        self.conv8 = nn.Conv2d(wide, 3, 3, padding=1)

    def forward(self, reflectance: Tensor, illumination: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, 1, H, W) to (B, 3, H, W)."""
        both = torch.cat((self.conv1(reflectance).relu(), self.conv2(illumination).relu()), 1)
        feature = self.se_layer(both)
        for conv in (self.conv3, self.conv4, self.conv5, self.conv6, self.conv7):
            feature = conv(feature).relu()
        return reflectance + self.conv8(feature)


class IlluminationRestoration(nn.Module):
    """G_L: the illumination, smoothed."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, dim, 5, padding=2)
        self.conv2 = nn.Conv2d(dim, dim, 5, padding=2)
        self.conv3 = nn.Conv2d(dim, dim, 5, padding=2)
        self.conv4 = nn.Conv2d(dim, dim, 5, padding=2)
        self.conv5 = start_alive(nn.Conv2d(dim, 1, 1))

    def forward(self, illumination: Tensor) -> Tensor:
        """(B, 1, H, W), at least 0, to the same."""
        feature = illumination
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            feature = F.leaky_relu(conv(feature), SLOPE)
        return self.conv5(feature).relu()


class Adjustment(nn.Module):
    """The illumination, brightened by a ratio."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, dim, 5, padding=2)
        self.conv2 = nn.Conv2d(dim, dim, 5, padding=2)
        self.conv3 = nn.Conv2d(dim, dim, 5, padding=2)
        self.conv4 = start_alive(nn.Conv2d(dim, 1, 5, padding=2))

    def forward(self, illumination: Tensor, ratio: Tensor) -> Tensor:
        """(B, 1, H, W) and a ratio (B or 1, 1, 1, 1) to (B, 1, H, W), at least 0."""
        feature = torch.cat((illumination, ratio.expand_as(illumination)), 1)
        for conv in (self.conv1, self.conv2, self.conv3):
            feature = F.leaky_relu(conv(feature), SLOPE)
        return self.conv4(feature).relu()


@ARCH_REGISTRY.register()
class URetinexNet(Network):
    """Decomposes an image in unfolded rounds, brightens the illumination; 340,105 parameters.

    Args:
        stage: 1 is the initialisation alone, whose output is its reflectance; 2 adds the unfolding,
            whose output is its reflectance; 3 adds the adjustment of the illumination.
        rounds: Of the unfolding, the first of which restores the initialisation.
        ratio: By which the illumination is brightened; the authors recommend 3 to 5.
        reference: Whether there is an initialisation for ground truths as well, which training
            compares with.
        dim: Channels; twice as many in the restoration of the reflectance.

    Raises:
        ValueError: `stage` is not 1, 2 or 3, `rounds` or `dim` below 1, or `ratio` not above 0.
    """

    published = Published(
        marks=(
            r"(.*/)?model_R\.decom\.0\.weight",
            r"(.*/)?model_R\.se_layer\.fc\.0\.weight",
            r"(.*/)?model_L\.conv5\.weight",
            r"(.*/)?(model_A\.)?conv4\.weight",
        ),
        arguments=lambda state: {
            "dim": next(v.shape[0] for k, v in state.items() if k.endswith("decom.0.weight"))
        },
        renames={
            r"^(?:.*/)?model_R\.(decom\.)": r"initialisation.\1",
            r"^(?:.*/)?model_R\.": "restoration_r.",
            r"^(?:.*/)?model_L\.": "restoration_l.",
            r"^(?:.*/)?(?:model_A\.)?(conv[1-4]\.)": r"adjustment.\1",
        },
        dropped=(r"^[^/]*high[^/]*/",),  # the initialisation for ground truths
        parts={
            r"model_R\.decom\..*": "initialisation",
            r"model_[RL]\..*": "unfolding",
            r"(model_A\.)?conv[1-4]\..*": "adjustment",
        },
    )

    def __init__(
        self,
        stage: Literal[1, 2, 3] = 3,
        rounds: int = 3,
        ratio: float = 5.0,
        reference: bool = False,
        dim: int = 32,
    ) -> None:
        super().__init__()
        require_one_of((1, 2, 3), stage=stage)
        require_at_least(1, rounds=rounds, dim=dim)
        require(ratio > 0, "ratio", "above 0", ratio)
        self.stage, self.rounds, self.ratio = stage, rounds, ratio
        self.initialisation = Decomposition(dim)
        self.extra_outputs: tuple[str, ...] = ("initial_reflectance", "initial_illumination")
        if stage > 1:
            self.restoration_r = ReflectanceRestoration(dim)
            self.restoration_l = IlluminationRestoration(dim)
            self.extra_outputs += ("reflectance", "illumination")
            self.extra_outputs += ("auxiliary_reflectance", "auxiliary_illumination")
        if stage > 2:
            self.adjustment = Adjustment(dim)
            self.extra_outputs += ("adjusted",)
        self.reference = Decomposition(dim) if reference else None
        if reference:
            self.extra_outputs += ("reflectance_gt", "illumination_gt")

    def unfold(self, x: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The rounds, which minimise |x - P Q|^2 + g |P - R|^2 + l |Q - L|^2 and priors in turn.

        Args:
            x: (B, 3, H, W).
            p, q: The initial P (B, 3, H, W) and Q (B, 1, H, W).

        Returns:
            R (B, 3, H, W), L (B, 1, H, W) and the last round's P and Q.
        """
        r, light = self.restoration_r(p, q), self.restoration_l(q)
        for t in range(1, self.rounds):
            weight_p, weight_q = 0.1 + 0.05 * t, 0.5 + 0.05 * t
            p = (x * q + weight_p * r) / (weight_p + q * q)
            products = (x * p).sum(1, keepdim=True) + weight_q * light
            q = products / ((p * p).sum(1, keepdim=True) + weight_q)
            r, light = self.restoration_r(p, q), self.restoration_l(q)
        return r, light, p, q

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output and what it is made of.

        Args:
            lq: (B, 3, H, W) in [0, 1].
            gt: The same shape. Where there is a reference, the illumination is brightened by the
                ratio of the ground truth's mean to its own, in place of `ratio`.

        Returns:
            "initial_reflectance" and "initial_illumination"; from stage 2 on the last round's
            "reflectance" R, "illumination" L and "auxiliary_..." P and Q; in stage 3 the
            "adjusted" illumination; for a `gt` and with a reference also "reflectance_gt" and
            "illumination_gt". Reflectances are (B, 3, H, W), illuminations (B, 1, H, W).
        """
        p, q = self.initialisation(lq)
        found = {"output": p, "initial_reflectance": p, "initial_illumination": q}
        if gt is not None and self.reference is not None:
            found["reflectance_gt"], found["illumination_gt"] = self.reference(gt)
        if self.stage > 1:
            r, light, p, q = self.unfold(lq, p, q)
            found |= {"output": r, "reflectance": r, "illumination": light}
            found |= {"auxiliary_reflectance": p, "auxiliary_illumination": q}
        if self.stage > 2:
            ratio = lq.new_full((1, 1, 1, 1), self.ratio)
            if "illumination_gt" in found:
                means = [found[n].mean((2, 3), True) for n in ("illumination_gt", "illumination")]
                ratio = (means[0] / means[1].clamp_min(RATIO_FLOOR)).detach()
            found["adjusted"] = self.adjustment(found["illumination"], ratio)
            found["output"] = found["adjusted"] * found["reflectance"]
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, not clamped."""
        return self.outputs(x)["output"]
