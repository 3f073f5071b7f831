"""Which network a published state dict belongs to: by its keys, its sizes by their shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from enhancement.errors import UserError

State = Mapping[str, Tensor]


def _count(state: State, pattern: str) -> int:
    """How many different numbers a pattern's group takes among the keys."""
    return len({found[1] for key in state if (found := re.match(pattern, key))})


def _aod_net(state: State) -> dict[str, Any]:
    return {}


def _retinex(state: State) -> dict[str, Any]:
    """Sizes of the networks made of `enhancement.archs.blocks.IGR`."""
    prefix = r"body\.0\.denoiser\."
    levels = _count(state, prefix + r"encoder_layers\.(\d+)\.")
    blocks = [_count(state, rf"{prefix}encoder_layers\.{i}\.0\.blocks\.(\d+)\.")
              for i in range(levels)]  # fmt: skip
    return {
        "n_feat": state["body.0.estimator.conv1.weight"].shape[0],
        "stage": _count(state, r"body\.(\d+)\."),
        "num_blocks": [*blocks, _count(state, prefix + r"bottleneck\.blocks\.(\d+)\.")],
    }


def _ded_net(state: State) -> dict[str, Any]:
    separable = any(key.endswith(".depthwise_conv.weight") for key in state)
    return {**_retinex(state), "ffn": "separable" if separable else "dense"}


def _iglfm(state: State) -> dict[str, Any]:
    """Dual-Gen-Frame's first stage, as its authors ran it: without colour correction."""
    return {
        "width": state["conv_in.weight"].shape[0],
        "groups": _count(state, r"body\.(\d+)\."),
        "blocks": _count(state, r"body\.0\.body\.(\d+)\."),
        "mcc": False,
    }


# (a network's type, keys that it has and those above it do not all have, its arguments), the most
# particular first
KNOWN: tuple[tuple[str, tuple[str, ...], Callable[[State], dict[str, Any]]], ...] = (
    ("DEDNet", ("body.0.feat_enhancer.e_conv1.weight", "body.0.estimator.conv1.weight"), _ded_net),
    ("RetinexFormer", ("body.0.denoiser.embedding.weight", "body.0.estimator.conv1.weight"),
     _retinex),
    ("IGLFM", ("conv_in.weight", "body.0.body.0.map.body.0.weight", "conv_out.weight"), _iglfm),
    ("AODNet", tuple(f"e_conv{i}.weight" for i in range(1, 6)), _aod_net),
)  # fmt: skip


def recognise(state: State) -> dict[str, Any] | None:
    """The `network_g` block of a published state dict; None where it is none we know.

    Args:
        state: Tensors by name, without `module.` prefixes.

    Raises:
        UserError: A part of a network, which enhances nothing by itself.
    """
    if "film1.Conv_1.weight" in state or "film1.vector.0.weight" in state:
        raise UserError(
            "holds BLGM alone, which goes on from IGLFM's feature; train DualGeneralization with "
            "it as train.frozen.blgm (options/capsule/2_blgm.yml)"
        )
    for kind, marks, sizes in KNOWN:
        if all(mark in state for mark in marks):
            return {"type": kind, **sizes(state)}
    return None
