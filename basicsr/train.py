"""Train a network: python basicsr/train.py --opt options/quickstart.yml

This folder only holds the command that BasicSR's users know; the code is in enhancement/training.
It must never get an __init__.py, or it would hide the installed basicsr.
"""

import sys

try:
    from enhancement.training.command import main
except ModuleNotFoundError as missing:
    print(f"error: {missing.name} is not installed; run `make install`", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
