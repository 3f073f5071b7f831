"""The console command `enhance`. Each subcommand is a module of `enhancement.commands`.

A subcommand's module has `HELP` (one line), `EXAMPLES` (lines of commands), `add_arguments(parser)`
and `run(arguments)`, which returns the exit status: 0 done, 1 done in part (the rest is named),
2 the user's mistake (a UserError), 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from textwrap import indent
from typing import Any

from enhancement import __version__
from enhancement.errors import command_line

COMMANDS = (
    "app",
    "archs",
    "bench",
    "compare",
    "completion",
    "data",
    "export",
    "options",
    "run",
    "score",
)


def subcommand(name: str) -> Any:
    """The module of a subcommand."""
    return import_module(f"enhancement.commands.{name}")


def build_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The command line of these subcommands; the modules of the others are not imported."""
    parser = argparse.ArgumentParser(
        "enhance", description="Enhance images and video; compare and export networks."
    )
    parser.add_argument("--version", action="version", version=f"enhance {__version__}")
    chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in names:
        module = subcommand(name)
        child = chosen.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog="examples:\n" + indent(module.EXAMPLES.strip(), "  "),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(child)
        child.set_defaults(run=module.run)
    return parser


@command_line
def main() -> int:
    """The command `enhance`."""
    asked = [name for name in COMMANDS if name in sys.argv[1:2]]
    arguments = build_parser(asked or COMMANDS).parse_args()
    if getattr(arguments, "threads", None) is not None:
        import_module("enhancement.device").use_threads(arguments.threads)
    return int(arguments.run(arguments) or 0)


if __name__ == "__main__":
    sys.exit(main())
