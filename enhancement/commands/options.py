"""`enhance options`: what option files may say, and what one says with all that it inherits."""

from __future__ import annotations

import argparse
import json

from enhancement.config.files import OptionFile
from enhancement.config.option_page import option_page
from enhancement.config.option_schema import option_schema
from enhancement.config.origins import with_origins
from enhancement.errors import UserError

HELP = "what option files may say: a JSON Schema for editors; show one merged"
EXAMPLES = """
enhance options --schema > options/schema.json
enhance options --markdown > docs/options.md
enhance options show options/hdrnet.yml --dataset endoscopy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The forms that all keys are written in, and the action `show`."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--schema", action="store_true", help="print the JSON Schema (2020-12)")
    form.add_argument("--markdown", action="store_true", help="print a page of all keys")
    chosen = parser.add_subparsers(dest="action", metavar="ACTION")
    show = chosen.add_parser("show", help="print an option file merged, and where each key is from")
    show.add_argument("file", metavar="FILE")
    show.add_argument("--dataset", metavar="NAME", help="in place of the file's own")
    show.add_argument("--schedule", metavar="NAME", help="in place of the file's own")
    show.add_argument(
        "--force_yml", nargs="+", default=[], metavar="KEY:KEY=VALUE", help="override options"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked for."""
    if arguments.action and (arguments.schema or arguments.markdown):
        raise UserError("show does not go with --schema or --markdown")
    if arguments.schema:
        print(json.dumps(option_schema(), indent=1))
    elif arguments.markdown:
        print(option_page(), end="")
    elif arguments.action:
        chosen = {"dataset": arguments.dataset, "schedule": arguments.schedule}
        file = OptionFile(arguments.file, chosen)
        file.force(arguments.force_yml)
        print(with_origins(file), end="")
    else:
        raise UserError("options: expected --schema, --markdown or show FILE")
    return 0
