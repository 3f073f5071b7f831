"""Enhancement networks for dark and hazy images behind one BasicSR registry.

Importing this imports neither PyTorch nor BasicSR. BasicSR's registries then find every network,
model, dataset, loss and metric of ours, and import them when they are first asked.
"""

import os
from importlib import import_module
from typing import Any

# large tensors in large pages of memory, where the system has them: PyTorch reads this once
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# threads that wait for work sleep sooner: on busy cores the others then get on; on idle ones it
# costs nothing (benchmarks/busy_cores.py)
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reads it when it is imported

from .basicsr_import import watch

__version__ = "0.1.0"
__all__ = ["load", "load_network"]
OFFERED = {  # by the module that holds it
    "load": "enhancement.inference.enhancer",
    "load_network": "enhancement.weights.networks",
}
watch()


def __getattr__(name: str) -> Any:
    """What is offered here and lives in a package above this one, imported when it is asked for."""
    if name not in OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(OFFERED[name]), name)
