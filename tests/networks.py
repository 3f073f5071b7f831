"""The registered networks of ours, small enough to test."""

import torch

from enhancement.registry import ARCH_REGISTRY, is_ours, lookup

EVERY = sorted(name for name, kind in ARCH_REGISTRY if is_ours(kind))
OURS = [name for name in EVERY if lookup(ARCH_REGISTRY, name).gives == "image"]
IN_TILES = [name for name in OURS if not lookup(ARCH_REGISTRY, name).whole_image]
CLASSICS = [name for name in OURS if lookup(ARCH_REGISTRY, name).family == "classics"]
WITHOUT_ONNX = {
    name: why
    for name in OURS
    if (why := lookup(ARCH_REGISTRY, name).untraceable or lookup(ARCH_REGISTRY, name).no_onnx)
}
SMALL = {  # arguments that make large ones quick; others are tested at their default size
    "C2PNet": {"dim": 48, "num_blocks": 1},
    "DarkIR": {"dim": 4, "encoder_blocks": [1, 1], "decoder_blocks": [1, 1]},
    "DehazeFormer": {"dim": 6},
    "DEDNet": {"n_feat": 8},
    "DPED": {"dim": 8},
    "DualGeneralization": {"width": 16, "groups": 1, "blocks": 1, "blgm_width": 8},
    "FEQE": {"dim": 4, "num_blocks": 2},
    "FFANet": {"dim": 48, "num_blocks": 1},
    "GCANet": {"dim": 8},
    "GridDehazeNet": {"dim": 4, "num_layers": 2, "growth": 4},
    "HDRNet": {"low_resolution": 64},
    "HDRNetUNet": {"low_resolution": 64, "dim": 4},
    "HVICIDNet": {"channels": [8, 8, 16, 16], "heads": [1, 2, 2, 2]},
    "IGLFM": {"width": 16, "groups": 1, "blocks": 1},
    "MSBDN": {"dim": 2, "num_blocks": 2},
    "PairLIE": {"width": 16},
    "NAFNet": {"width": 8, "enc_blk_nums": [1], "dec_blk_nums": [1]},
    "RetinexFormer": {"n_feat": 8},
    "RetinexNet": {"dim": 16},
    "SNRNet": {"dim": 4, "num_layers": 2},
    "SegmentationNet": {"encoder": "mobilenetv3_small_100"},
    "ZeroDCE": {"width": 8},
    "URetinexNet": {"dim": 8, "rounds": 2},
    "WTNet": {"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1},
}


def build(name, **arguments):
    torch.manual_seed(0)
    return lookup(ARCH_REGISTRY, name)(**{**SMALL.get(name, {}), **arguments})


def perturbed(network):
    """A network moved off its initial weights, where some branches give nothing."""
    generator = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    return network


def image(height=37, width=53, batch=2):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def count(module):
    """The number of a module's parameters."""
    return sum(p.numel() for p in module.parameters())
