"""`enhance bench`: frames a second."""

from __future__ import annotations

import argparse
import statistics

from enhancement.config.named_network import network_block
from enhancement.device import add_threads, named_device
from enhancement.errors import UserError
from enhancement.inference.engines import add_engine, engine_name, prepare
from enhancement.inference.frames import FrameEnhancer
from enhancement.inference.onnx_network import open_network
from enhancement.inference.speed import OtherLoad, machine, seconds_per_frame
from enhancement.units import NAMED_SIZES, parse_size

HELP = "measure frames a second"
EXAMPLES = """
enhance bench HDRNet
enhance bench RetinexFormer --sizes 640x360 720p --frames 5
enhance bench --weights hdrnet_lol_v1 --threads 1
"""
PROBE = (320, 192)  # width and height of the frame from which a larger one's time is estimated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The network and what is measured."""
    add = parser.add_argument
    add("arch", nargs="?", metavar="NETWORK", help="NAME or NAME:key=value, with random weights")
    add("--weights", help="shipped weights by name, or a weights or .onnx file, instead of NETWORK")
    add(
        "--sizes",
        nargs="+",
        default=list(NAMED_SIZES),
        help="default: 720p 1080p 4K; or WIDTHxHEIGHT",
    )
    add("--frames", type=int, default=30, help="at most, for each size; default: 30")
    add_threads(parser)
    add("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    add("--seconds", type=float, default=20, help="at most, for each size; default: 20")
    add_engine(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print a table."""
    if bool(arguments.arch) == bool(arguments.weights):
        raise UserError("expected either the name of a network or --weights")
    sizes = {text: parse_size(text) for text in arguments.sizes}
    for name in ("frames", "seconds"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise UserError(f"--{name}: expected more than 0, but got {value}")
    device = named_device(arguments.device)
    if arguments.weights:
        network, meta = open_network(arguments.weights)
        name = meta.get("network_g", {}).get("type", type(network).__name__)
    else:
        block = network_block(arguments.arch, "NETWORK")
        network, name = block.build(), arguments.arch
    prepared = prepare(network.eval().to(device), device, arguments.engine, at_once=True)
    load = OtherLoad()
    measure(FrameEnhancer(prepared), name, sizes, arguments)
    print(load.said())
    return 0


def measure(
    enhancer: FrameEnhancer,
    name: str,
    sizes: dict[str, tuple[int, int]],
    arguments: argparse.Namespace,
) -> None:
    """Print the table: measured, or estimated where a frame would take too long."""
    probe = statistics.median(seconds_per_frame(enhancer, PROBE, 5, 1.0))
    engine = engine_name(enhancer.network)
    print(f"{name}, 8-bit frames in and out, by {engine} on {machine(enhancer.device)}")
    print(f"{'size':<18}{'ms a frame':>12}{'frames a second':>17}{'frames':>8}")
    for text, (width, height) in sizes.items():
        estimate = probe * width * height / (PROBE[0] * PROBE[1])
        label = text if "x" in text else f"{text} {width}x{height}"
        if 2 * estimate > arguments.seconds:  # the frame that warms up counts as well
            print(
                f"{label:<18}{f'about {estimate * 1e3:,.0f}':>12}{1 / estimate:>17.3f}"
                f"       -  estimated from {PROBE[0]}x{PROBE[1]}; --seconds "
                f"{2 * estimate:.0f} measures it"
            )
            continue
        taken = seconds_per_frame(enhancer, (width, height), arguments.frames, arguments.seconds)
        middle = statistics.median(taken)
        print(f"{label:<18}{middle * 1e3:>12,.1f}{1 / middle:>17.2f}{len(taken):>8}")
