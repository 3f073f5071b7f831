"""BasicSR's registries, filled with what is ours when they are first asked.

basicsr_import.py imports this as soon as BasicSR has been imported.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView
from importlib import import_module
from typing import Any

from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)

PLUG_INS = {  # the packages whose import fills the registries, by the registries' names
    "arch": "archs",
    "dataset": "data",
    "loss": "models",
    "metric": "scoring",
    "model": "models",
}
LATE = "archs.spandrel_bridge"  # networks that are registered when they are asked for


def fill(name: str, with_late: bool = False) -> None:
    """Import what fills a registry.

    Args:
        name: The registry's.
        with_late: Import what takes long as well.
    """
    import_module(f"enhancement.{PLUG_INS[name]}")
    if with_late and name == "arch":
        import_module(f"enhancement.{LATE}")


class FilledOnDemand(Registry):
    """A registry that imports our plug-in whenever it is asked."""

    def get(self, name: str, suffix: str = "basicsr") -> Any:
        self._fill()
        return super().get(name, suffix)

    def __contains__(self, name: object) -> bool:
        self._fill()
        return super().__contains__(name)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        self._fill()
        return super().__iter__()

    def keys(self) -> KeysView[str]:
        self._fill()
        return super().keys()

    def _fill(self) -> None:
        fill(self._name)


for _registry in (ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY):
    _registry.__class__ = FilledOnDemand
