"""RetinexFormer against the straightforward arithmetic of its publication, and DED-Net beside it.

python benchmarks/retinex.py [--runs 5]

Prints a Markdown table: parameters, multiply-adds at 256x256, seconds and peak memory of a forward
(400x600) and of a training iteration (batch 8 of 128x128), the speed ratio to the published
arithmetic, and the largest difference to it. All in one process, networks taking turns, medians.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from measure import added_memory, medians
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from enhancement.archs.retinex_blocks import GuidedAttention, GuidedBlocks, NormFirst
from enhancement.registry import ARCH_REGISTRY, build

NETWORKS = {
    "RetinexFormer, published arithmetic": {"type": "RetinexFormer"},
    "RetinexFormer": {"type": "RetinexFormer"},
    "DEDNet separable": {"type": "DEDNet"},
    "DEDNet dense": {"type": "DEDNet", "ffn": "dense"},
}
PUBLISHED = "RetinexFormer, published arithmetic"


def published_attention(layer: GuidedAttention, x: Tensor, guidance: Tensor) -> Tensor:
    """Equations 8 to 10 as they stand, on (B, H, W, C): q, k and v for every pixel."""
    b, h, w, c = x.shape
    pixels = x.reshape(b, h * w, c)
    q, k, v = (
        linear(pixels).reshape(b, h * w, layer.num_heads, -1).permute(0, 2, 1, 3)
        for linear in (layer.to_q, layer.to_k, layer.to_v)
    )
    lit = v * guidance.reshape(b, h * w, layer.num_heads, -1).permute(0, 2, 1, 3)
    q, k, lit = (t.transpose(-2, -1) for t in (q, k, lit))
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    attention = ((k @ q.transpose(-2, -1)) * layer.rescale).softmax(-1)
    mixed = (attention @ lit).permute(0, 3, 1, 2).reshape(b, h * w, c)
    plain = v.permute(0, 2, 1, 3).reshape(b, h, w, c).permute(0, 3, 1, 2)
    position = layer.pos_emb(plain).permute(0, 2, 3, 1)
    return layer.proj(mixed).view(b, h, w, c) + position


class PublishedBlocks(nn.Module):
    """The blocks of a `GuidedBlocks`, permuted to channels last and back as published."""

    def __init__(self, ours: GuidedBlocks) -> None:
        super().__init__()
        self.blocks = ours.blocks

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        for attention, feed_forward in self.blocks:  # type: ignore[misc]
            x = published_attention(attention, x, guidance.permute(0, 2, 3, 1)) + x
            x = self.feed_forward(feed_forward, x) + x
        return x.permute(0, 3, 1, 2)

    @staticmethod
    def feed_forward(layer: NormFirst, x: Tensor) -> Tensor:
        norm = layer.norm
        normed = F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        return layer.fn(normed.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)


class PublishedIGR(nn.Module):
    """The U-shaped network without the one memory layout."""

    def __init__(self, ours: nn.Module) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, image: Tensor, guidance: Tensor) -> Tensor:
        net = self.ours
        x, skips = net.embedding(image), []
        for blocks, down, guidance_down in net.encoder_layers:
            x = blocks(x, guidance)
            skips.append((x, guidance))
            x, guidance = down(x), guidance_down(guidance)
        x = net.bottleneck(x, guidance)
        for up, fuse, blocks in net.decoder_layers:
            skip, guidance = skips.pop()
            x = blocks(fuse(torch.cat((up(x), skip), 1)), guidance)
        return net.mapping(x) + image


def as_published(network: nn.Module) -> nn.Module:
    """Replace every group of guided blocks by the published arithmetic, in place."""
    for stage in network.body:
        igr = stage.denoiser
        for layers, place in ((igr.encoder_layers, 0), (igr.decoder_layers, 2)):
            for layer in layers:
                layer[place] = PublishedBlocks(layer[place])
        igr.bottleneck = PublishedBlocks(igr.bottleneck)
        stage.denoiser = PublishedIGR(igr)
    return network


def make(name: str) -> nn.Module:
    """A network of the table with weights of its own seed."""
    torch.manual_seed(0)
    network = build(ARCH_REGISTRY, NETWORKS[name])
    return as_published(network) if name == PUBLISHED else network


def forward(network: nn.Module) -> Callable[[], None]:
    """A forward pass of 400x600."""
    x = torch.rand(1, 3, 400, 600)

    def run() -> None:
        with torch.inference_mode():
            network(x)

    return run


def iteration(network: nn.Module) -> Callable[[], None]:
    """A training iteration, batch 8 of 128x128."""
    x = torch.rand(8, 3, 128, 128)
    optimizer = torch.optim.Adam(network.parameters(), 2e-4)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.l1_loss(network(x), x).backward()
        optimizer.step()

    return run


def job(name: str, kind: str) -> Callable[[], None]:
    """One pass of a network of the table."""
    return JOBS[kind](make(name))


JOBS = {"forward": forward, "iteration": iteration}


def multiply_adds(network: nn.Module) -> float:
    """Multiply-adds at 256x256, in G."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, 256, 256))
    return counter.get_total_flops() / 2e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without_dense", action="store_true", help="it takes long on a CPU")
    arguments = parser.parse_args()
    names = [n for n in NETWORKS if not (arguments.without_dense and "dense" in n)]
    networks = {name: make(name).eval() for name in names}
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        difference = (networks[PUBLISHED](x) - networks["RetinexFormer"](x)).abs().max().item()
    counts = {n: sum(p.numel() for p in net.parameters()) for n, net in networks.items()}
    work = {n: multiply_adds(net) for n, net in networks.items()}
    seconds = {
        kind: medians({n: start(net) for n, net in networks.items()}, arguments.runs)
        for kind, start in JOBS.items()
    }
    memory = {(n, k): added_memory(job, n, k) for n in names for k in seconds}
    columns = "network | parameters | G multiply-adds | forward, s | ratio | MiB"
    print(f"| {columns} | iteration, s | ratio | MiB |")
    print("| --- | " + "--- | " * 8)
    for name in names:
        cells = [name, f"{counts[name]:,}", f"{work[name]:.1f}"]
        for kind, table in seconds.items():
            cells += [f"{table[name]:.2f}", f"{table[PUBLISHED] / table[name]:.2f}"]
            cells += [f"{memory[name, kind]:.0f}"]
        print("| " + " | ".join(cells) + " |")
    print(f"\nLargest difference to the published arithmetic: {difference:.1e}")


if __name__ == "__main__":
    main()
