"""Score weights on a dataset: python enhancement/test_from_dataset.py --opt options/hdrnet.yml \
--weights W --dataset LOL_v1

This file only holds the command that users know; the code is in enhancement/testing.
"""

import sys
from importlib import import_module
from pathlib import Path

# as a script this file's folder leads the path, where its neighbours must not hide any package
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]

try:
    main = import_module("enhancement.testing.command").main
except ModuleNotFoundError as missing:
    print(f"error: {missing.name} is not installed; run `make install`", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
