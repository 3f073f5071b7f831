"""`python -m enhancement ...` is the command `enhance ...`."""

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.exit(import_module("enhancement.commands.main").main())
