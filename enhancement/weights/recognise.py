"""Which network a published state dict belongs to, as the networks declare it (published.py).

What no network of ours claims, spandrel is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from enhancement.archs.contract import Network
from enhancement.errors import UserError
from enhancement.registry import ARCH_REGISTRY


def recognise(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The `network_g` block of a published state dict; None if no network claims it.

    Args:
        state: Tensors by name, without `module.` prefixes.

    Raises:
        UserError: It is a part of a network, which enhances nothing by itself.
    """
    candidates = [
        (name, kind.published)
        for name, kind in ARCH_REGISTRY
        if issubclass(kind, Network) and kind.published and kind.published.matches(state)
    ]
    if not candidates:
        from enhancement.archs import spandrel_bridge  # only here, because it takes a while

        return spandrel_bridge.recognise(state)
    name, published = max(candidates, key=lambda candidate: len(candidate[1].marks))
    if published.refused:
        raise UserError(published.refused)
    return {"type": name, **published.arguments(state)}
