"""Which network a published state dict belongs to, as the networks declare it (published.py).

What no network of ours claims, spandrel is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from enhancement.archs.contract import Network
from enhancement.archs.published import Published
from enhancement.errors import UserError
from enhancement.registry import ARCH_REGISTRY


def recognise(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The `network_g` block of a published state dict; None if no network claims it.

    Args:
        state: Tensors by name, without `module.` prefixes.

    Raises:
        UserError: It is a part of a network, which enhances nothing by itself.
    """
    declared = {
        name: kind.published
        for name, kind in ARCH_REGISTRY
        if issubclass(kind, Network) and kind.published
    }
    candidates = [(n, published) for n, published in declared.items() if published.matches(state)]
    if not candidates:
        _refuse_parts(state, declared)
        from enhancement.archs import spandrel_bridge  # only here, because it takes a while

        return spandrel_bridge.recognise(state)
    name, published = max(candidates, key=lambda candidate: len(candidate[1].marks))
    if published.refused:
        raise UserError(published.refused)
    return {"type": name, **published.arguments(state)}


def _refuse_parts(state: Mapping[str, Tensor], declared: Mapping[str, Published]) -> None:
    """Refuse one file of a network that is published in several."""
    for name, published in declared.items():
        part = published.part_of(state)
        if part:
            others = " and the ".join(p for p in published.parts.values() if p != part)
            raise UserError(
                f"holds the {part} of {name} alone; give the folder that also holds the {others}"
            )
