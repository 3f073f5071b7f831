"""Networks as ONNX or TorchScript files for any image size, checked before they are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from enhancement.archs.contract import contract_of
from enhancement.errors import UserError
from enhancement.files import replace_file, writing
from enhancement.inference.conversion import (
    AnySize,
    Comparison,
    compare,
    load_torchscript,
    onnx_by_dynamo,
    onnx_by_tracing,
    reason_of,
    torchscript,
    with_metadata,
)
from enhancement.inference.onnx_network import OnnxNetwork

FORMATS = {"onnx": ".onnx", "torchscript": ".pt"}
Exporter = Callable[[AnySize], tuple[bytes, Callable[[Tensor], Tensor]]]


def export(network: nn.Module, kind: str, path: Path, meta: dict[str, Any]) -> Comparison:
    """Write a file that takes images of any size, and check it against PyTorch.

    Args:
        network: On the CPU, with its weights.
        kind: "onnx" or "torchscript".
        path: The file; it is written once it has passed the check.
        meta: Kept in the file, `network_g` and `name` among it.

    Returns:
        How far its outputs at `conversion.SIZES` are from PyTorch's.

    Raises:
        UserError: It cannot be exported, computes something else, or cannot be written.
    """
    declared = contract_of(network)
    if obstacle := declared.untraceable or (kind == "onnx" and declared.no_onnx):
        raise UserError(f"{declared.title} cannot be exported as {kind}: {obstacle}")
    wrapped = AnySize(network.eval()).eval()
    faults: list[UserError] = []
    for exporter in _exporters(kind, meta):
        try:
            content, found = _checked(wrapped, exporter, kind, path)
        except UserError as fault:
            faults.append(fault)
        else:
            _write(path, content)
            return found
    raise faults[-1]


def _exporters(kind: str, meta: dict[str, Any]) -> list[Exporter]:
    """The ways to a file, the fastest first; the next is tried where one fails."""

    def onnx_by(convert: Callable[[AnySize], bytes]) -> Exporter:
        def exporter(network: AnySize) -> tuple[bytes, Callable[[Tensor], Tensor]]:
            graph = with_metadata(convert(network), meta)
            return graph, OnnxNetwork(graph)

        return exporter

    def script(network: AnySize) -> tuple[bytes, Callable[[Tensor], Tensor]]:
        program = torchscript(network, meta)
        return program, load_torchscript(program)

    return [onnx_by(onnx_by_tracing), onnx_by(onnx_by_dynamo)] if kind == "onnx" else [script]


def _checked(
    network: AnySize, exporter: Exporter, kind: str, path: Path
) -> tuple[bytes, Comparison]:
    """A file's content, and how far its outputs are from the network's.

    Raises:
        UserError: It cannot be exported, or computes something else.
    """
    try:
        content, loaded = exporter(network)
        with torch.no_grad():
            found = compare(network, loaded)
    except Exception as error:  # the exporters' own kinds of error share no base
        name = type(network.network).__name__
        raise UserError(f"{name} cannot be exported as {kind}: {reason_of(error)}") from error
    if not found.equal:
        raise UserError(
            f"{path}: not kept, because it differs from PyTorch by up to {found.difference:.2g} "
            f"(allowed: {found.allowed:.2g}); {found.where}"
        )
    return content, found


def _write(path: Path, content: bytes) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
