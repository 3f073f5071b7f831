"""`enhance export`: a network as an ONNX or TorchScript file."""

from __future__ import annotations

import argparse
from pathlib import Path

from enhancement.device import add_threads
from enhancement.errors import UserError
from enhancement.files import check_place
from enhancement.inference.conversion import SIZES
from enhancement.inference.export import FORMATS, export
from enhancement.weights.networks import build_from_file
from enhancement.weights.shipped import find_weights

HELP = "write a network as an ONNX or TorchScript file, checked against PyTorch"
EXAMPLES = """
enhance export hdrnet_lol_v1 -o hdrnet.onnx
enhance export W.pth --format torchscript -o network.pt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The weights and the file."""
    parser.add_argument("weights", help="shipped weights by name, or a weights file")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the file")
    parser.add_argument("--format", choices=sorted(FORMATS), default="onnx", help="default: onnx")
    add_threads(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export."""
    kind, path = arguments.format, arguments.out
    if path.suffix.lower() != FORMATS[kind]:
        raise UserError(f"--out {path}: expected a name ending in {FORMATS[kind]} for {kind}")
    check_place(path)
    if path.resolve() == find_weights(arguments.weights).resolve():
        raise UserError(f"--out {path}: are the weights themselves; choose another name")
    network, meta = build_from_file(arguments.weights)
    meta = {"name": Path(arguments.weights).stem, **meta}
    meta = {key: meta[key] for key in ("name", "network_g")}
    difference = export(network, kind, path, meta).difference
    sizes = ", ".join(f"{b}x3x{h}x{w}" for b, h, w in SIZES)
    print(
        f"{path}: {path.stat().st_size / 1e6:.1f} MB, any batch and size; "
        f"differs from PyTorch by {difference:.1e} at most ({sizes})"
    )
    return 0
