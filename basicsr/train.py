"""Train a network: python basicsr/train.py --opt options/quickstart.yml

This folder only holds the command that BasicSR's users know; the code is in enhancement/train.py.
It must never get an __init__.py, or it would hide the installed basicsr.
"""

import sys

try:
    from enhancement.train import main
except ModuleNotFoundError as missing:
    sys.exit(f"error: {missing.name} is not installed; run `make install` and .venv/bin/python")

if __name__ == "__main__":
    sys.exit(main())
