"""`enhance archs`: the registered networks."""

from __future__ import annotations

import argparse
import inspect

from enhancement.compat import ARCH_REGISTRY, size_multiple
from enhancement.complexity import multiply_adds, parameter_count

HELP = "list the registered networks"
EXAMPLES = "enhance archs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: it lists what there is."""


def run(_: argparse.Namespace) -> int:
    """Print one line a network of ours."""
    print(f"{'network':<20}{'parameters':>12}{'multiply-adds':>15}{'multiple':>10}  paper")
    for name, kind in sorted(ARCH_REGISTRY):
        if not kind.__module__.startswith("enhancement.archs"):
            continue
        network = kind()
        paper = (inspect.getmodule(kind).__doc__ or "").strip().splitlines()[0]
        giga = f"{multiply_adds(network) / 1e9:.3f} G"
        print(f"{name:<20}{parameter_count(network):>12,}{giga:>15}{size_multiple(network):>10}  "
              f"{paper}")  # fmt: skip
    return 0
