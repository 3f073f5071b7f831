"""IGLFM and BLGM against the arithmetic of their published code.

python benchmarks/capsule.py [--runs 5] [--size 256]

Prints a Markdown table: seconds and peak memory of a forward pass, ratios to the published
arithmetic, and the largest difference to it. Both take turns in one process, medians; memory is
measured in a fresh process each, which has enhanced a small image first, so that libraries are
loaded. `as_published` gives other benchmarks the published arithmetic as a module.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from measure import added_memory, medians
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.archs.blgm_arch import BLGM, DynamicDepthwise, FiLM, illumination_vector
from enhancement.archs.iglfm_arch import FFB, IGLFM, LongRange, SelectiveKernel
from enhancement.archs.parts.iglfm_blocks import PLF, CrossAttention, Guide

SIDES = ("published arithmetic", "ours, PyTorch")


def attend(q: Tensor, k: Tensor, v: Tensor, temperature: Tensor) -> Tensor:
    """Channel attention with q, k and v formed for every pixel."""
    heads = temperature.shape[0]
    q, k, v = (t.flatten(2).unflatten(1, (heads, -1)) for t in (q, k, v))
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    return ((q @ k.transpose(-1, -2) * temperature).softmax(-1) @ v).flatten(1, 2)


def luma_curve(image: Tensor, n: Tensor, s: Tensor) -> Tensor:
    """RGB to YUV, one curve on Y, back to RGB."""
    r, g, b = image.split(1, 1)
    y = (0.257 * r + 0.564 * g + 0.098 * b + 0.0626).clamp(0, 1)
    u = (-0.148 * r - 0.291 * g + 0.439 * b + 0.5001).clamp(0, 1)
    v = (0.439 * r - 0.368 * g - 0.071 * b + 0.5001).clamp(0, 1)
    y = y ** n.abs() / (y ** n.abs() + s.abs() ** n.abs())
    red = 1.164 * (y - 0.0626) + 1.596 * (v - 0.5001)
    green = 1.164 * (y - 0.0626) - 0.392 * (u - 0.5001) - 0.813 * (v - 0.5001)
    return torch.cat((red, green, 1.164 * (y - 0.0626) + 2.017 * (u - 0.5001)), 1).clamp(0, 1)


def guide(layer: Guide, image: Tensor, x: Tensor) -> Tensor:
    lit = []
    for i, head in enumerate(layer.heads):
        gain, offset = head(x).chunk(2, 1)
        mapped = luma_curve(image, layer.curves.n[i], layer.curves.s[i])
        lit.append((gain * mapped + offset).clamp(0, 1))
    return layer.project(layer.body(torch.cat(lit, 1)))


def cross(layer: CrossAttention, spatial: Tensor, edge: Tensor) -> Tensor:
    edge = attend(spatial, spatial, edge, layer.temperature).view(spatial.shape)
    return layer.body(edge) + layer.shortcut(edge) + spatial


def laplacian(x: Tensor) -> Tensor:
    kernel = torch.full((x.shape[1], 1, 3, 3), -1.0)
    kernel[..., 1, 1] = 8
    return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel, groups=x.shape[1])


def pyramid(layer: PLF, x: Tensor) -> Tensor:
    spatial1 = layer.act(layer.body1(x))
    edge1 = layer.body1(laplacian(x) * layer.edges1.scale)
    small = layer.down(spatial1)
    spatial2 = layer.act(layer.body2(small))
    edge2 = layer.body2(laplacian(small) * layer.edges2.scale)
    up = layer.up(cross(layer.attention2, spatial2, edge2))
    return layer.fuse(torch.cat((cross(layer.attention1, spatial1, edge1), up), 1)) + x


def long_range(layer: LongRange, x: Tensor) -> Tensor:
    q, k, v = layer.qkv(x).chunk(3, 1)
    return layer.project(attend(q, k, v, layer.temperature).view(x.shape))


def select(layer: SelectiveKernel, x: Tensor) -> Tensor:
    x = layer.act(layer.project(x))
    x = torch.cat([x * mask(x).sigmoid() for mask in layer.masks], 1)
    return layer.act(layer.project(x * layer.gate(x).sigmoid()))


def block(layer: FFB, x: Tensor, image: Tensor) -> Tensor:
    y = pyramid(layer.pyramid, layer.join(torch.cat((x, guide(layer.guide, image, x)), 1)))
    y = torch.cat((layer.local(y), layer.dilated(y), long_range(layer.long_range, y)), 1)
    return layer.out(pyramid(layer.pyramid, select(layer.select, y))) + x


class PublishedIGLFM(nn.Module):
    """The published arithmetic on the layers of one of ours, without MCC."""

    def __init__(self, network: IGLFM) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W), H and W even, to the same shape."""
        x = self.network.stem(image)
        for group in self.network.groups:
            y = x
            for layer in group.blocks:
                y = block(layer, y, image)
            x = group.conv(y) + x
        return self.network.out(x) + image


def film(layer: FiLM, x: Tensor, vector: Tensor) -> Tensor:
    """The vector's projection spread over all pixels, then normed and projected there."""
    x = layer.conv(x)
    pixels = x.permute(0, 2, 3, 1)
    first, norm, project, act = layer.vector
    y = first(vector)[:, None, None].expand(pixels.shape).contiguous()
    y = act(project(norm(y)))
    norm_x = F.layer_norm(
        pixels, layer.norm.normalized_shape, layer.norm.weight, layer.norm.bias, layer.norm.eps
    )
    modulated = F.gelu(layer.into(norm_x)) * layer.scale(y) + layer.shift(y)
    return (layer.out(modulated) + pixels).permute(0, 3, 1, 2).contiguous()


def dynamic(layer: DynamicDepthwise, x: Tensor, vector: Tensor) -> Tensor:
    kernels = layer.hypernet(vector).view(-1, 1, 3, 3)
    return F.conv2d(x.flatten(0, 1)[None], kernels, padding=1, groups=len(kernels)).view(x.shape)


class PublishedBLGM(nn.Module):
    """The published arithmetic on the layers of one of ours."""

    def __init__(self, network: BLGM) -> None:
        super().__init__()
        self.network = network

    def forward(self, feature: Tensor, vector: Tensor) -> Tensor:
        """(B, 32, H, W) and (B, 64) to (B, 3, H, W)."""
        net = self.network
        full = film(net.film1, net.inc(feature), vector)
        half = F.max_pool2d(dynamic(net.dynamic, full, vector), 2)
        half = film(net.film2, net.down1(half), vector)
        quarter = film(net.film3, net.down2(F.max_pool2d(half, 2)), vector)
        return net.out(net.up1(net.up2(quarter, half), full))


def as_published(network: IGLFM | BLGM) -> nn.Module:
    """A module that computes a network as its authors' code does; it shares the weights."""
    return PublishedIGLFM(network) if isinstance(network, IGLFM) else PublishedBLGM(network)


def make(name: str) -> IGLFM | BLGM:
    """A network whose weights have moved off the first ones, where the branches are alike."""
    torch.manual_seed(0)
    network = IGLFM(mcc=False) if name == "IGLFM" else BLGM()
    for parameter in network.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return network.eval()


def inputs(name: str, size: int) -> tuple[Tensor, ...]:
    """What a network is called with: an image, or a feature and an illumination vector."""
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(size)) ** 2
    if name == "IGLFM":
        return (image,)
    return image.repeat(1, 11, 1, 1)[:, :32].contiguous(), illumination_vector(image)


def job(name: str, side: str, size: int) -> Callable[[], Tensor]:
    """A forward pass; both sides of a network have the same weights and input."""
    network: nn.Module = make(name)
    if side == SIDES[0]:
        network = as_published(network)

    def forward(size: int) -> Callable[[], Tensor]:
        given = inputs(name, size)

        def run() -> Tensor:
            with torch.inference_mode():
                return network(*given)

        return run

    forward(32)()  # loads libraries
    return forward(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--networks", nargs="+", default=["IGLFM", "BLGM"])
    arguments = parser.parse_args()
    print(f"{arguments.size}x{arguments.size}, {torch.get_num_threads()} threads\n")
    print("| network | seconds | MiB | times as fast | share of the memory | difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in arguments.networks:
        jobs = {side: job(name, side, arguments.size) for side in SIDES}
        difference = (jobs[SIDES[0]]() - jobs[SIDES[1]]()).abs().max().item()
        seconds = medians(jobs, arguments.runs)
        memory = {side: added_memory(job, name, side, arguments.size) for side in SIDES}
        for side in SIDES:
            cells = [f"{name}, {side}", f"{seconds[side]:.2f}", f"{memory[side]:.0f}"]
            cells += [f"{seconds[SIDES[0]] / seconds[side]:.2f}"]
            cells += [f"{memory[side] / memory[SIDES[0]]:.2f}", f"{difference:.1e}"]
            print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
