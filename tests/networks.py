"""The registered networks of ours, small enough to test."""

import torch

from enhancement.registry import ARCH_REGISTRY, is_ours, lookup

OURS = sorted(name for name, kind in ARCH_REGISTRY if is_ours(kind) and kind.gives == "image")
SMALL = {
    "DEDNet": {"n_feat": 8},
    "DualGeneralization": {"width": 16, "groups": 1, "blocks": 1, "blgm_width": 8},
    "HDRNet": {"low_resolution": 64},
    "IGLFM": {"width": 16, "groups": 1, "blocks": 1},
    "RetinexFormer": {"n_feat": 8},
}


def build(name, **arguments):
    torch.manual_seed(0)
    return lookup(ARCH_REGISTRY, name)(**{**SMALL.get(name, {}), **arguments})


def image(height=37, width=53, batch=2):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))
