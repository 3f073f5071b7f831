"""`enhance completion`: scripts that make a shell complete the command."""

from __future__ import annotations

import argparse

HELP = "print a script that makes the shell complete `enhance`"
EXAMPLES = """
enhance completion bash > ~/.local/share/bash-completion/completions/enhance
enhance completion zsh > ~/.zfunc/_enhance
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shell."""
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from enhancement.commands.main import build_parser

    print(shtab.complete(build_parser(), arguments.shell))
    return 0
