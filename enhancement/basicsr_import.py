"""What happens when BasicSR is imported, by whomever, once `enhancement` has been.

BasicSR 1.4.2 asks for a module that torchvision no longer has; it is given an alias. Afterwards
its registries find our networks too (plug_ins.py). So `import enhancement` itself imports neither
PyTorch nor BasicSR.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

GONE = "torchvision.transforms.functional_tensor"  # since torchvision 0.17
NOW = "torchvision.transforms.functional"


class _Loader(SourceFileLoader):
    """Loads BasicSR: the torchvision alias first, then BasicSR, then our plug-ins."""

    def exec_module(self, module: ModuleType) -> None:
        sys.modules.setdefault(GONE, import_module(NOW))
        super().exec_module(module)
        import_module("enhancement.plug_ins")


class _Finder(MetaPathFinder):
    """Finds BasicSR where Python does, and nothing else."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == "basicsr" else None
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec


def watch() -> None:
    """Hook BasicSR's import; if it has been imported already, fill its registries now."""
    if "basicsr" in sys.modules:
        import_module("enhancement.plug_ins")
    else:
        sys.meta_path.insert(0, _Finder())
