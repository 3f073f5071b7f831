"""`enhance app`: a page in the browser that enhances photographs, video and a camera's frames."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from enhancement.device import add_threads, named_device
from enhancement.errors import UserError
from enhancement.units import parse_bytes

HELP = "a page in the browser to enhance photographs, video and a camera"
EXAMPLES = """
enhance app
enhance app --folder weights --port 8080
enhance app --max_upload 1GB --max_memory 4GB
"""
PORT = 7860


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the page is served, and what it may take."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="default: 127.0.0.1, for this machine alone")
    add("--port", type=int, default=PORT, help=f"default: {PORT}")
    add(
        "--folder",
        type=Path,
        metavar="DIR",
        help="a folder of more weights to offer, ours or published",
    )
    add(
        "--max_upload",
        default="200MB",
        metavar="200MB",
        help="the largest file that is taken; default: 200MB",
    )
    add("--max_memory", metavar="4GB", help="limit, kept by tiling; default: most of what is free")
    add("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    add_threads(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    if find_spec("gradio") is None:
        raise UserError("enhance app needs Gradio: pip install -e '.[app]'")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    named_device(arguments.device)
    for limit in (arguments.max_upload, arguments.max_memory or arguments.max_upload):
        parse_bytes(limit)

    from enhancement.app.networks import (
        Networks,
        classic_choices,
        file_choices,
        shipped_choices,
    )
    from enhancement.app.server import is_this_machine_alone, serve

    groups = {"Weights that come with this package": shipped_choices()}
    if arguments.folder:
        files, left_out = file_choices(arguments.folder)
        groups[f"Files in {arguments.folder.name}"] = files
        for line in left_out:
            print(f"left out: {line}", file=sys.stderr)
    groups["Without weights"] = classic_choices()
    if not is_this_machine_alone(arguments.host):
        print(
            f"warning: --host {arguments.host}: others can use this page; it has no password",
            file=sys.stderr,
        )
    networks = Networks(groups, arguments.device, arguments.max_memory)
    serve(networks, arguments.host, arguments.port, arguments.max_upload)
    return 0
