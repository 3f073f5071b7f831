"""Engines: who computes a network's forward pass, PyTorch or ONNX Runtime."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from enhancement.archs.contract import Network, contract_of
from enhancement.errors import UserError
from enhancement.inference.conversion import (
    SIZES,
    AnySize,
    compare,
    onnx_by_tracing,
    reason_of,
)
from enhancement.inference.graph_cache import fingerprint, read_graph, write_graph
from enhancement.inference.onnx_network import OnnxNetwork, open_session, run_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ENGINES = ("auto", "pytorch", "onnx")
NAMES = {"pytorch": "PyTorch", "onnx": "ONNX Runtime"}
WORTH_CONVERTING = 256 * 256  # pixels of a run; fewer are computed sooner than a graph is made


def add_engine(parser: argparse.ArgumentParser) -> None:
    """`--engine`, which several commands have."""
    said = "auto (default): ONNX Runtime on a CPU, PyTorch on a GPU"
    parser.add_argument("--engine", choices=ENGINES, default="auto", help=said)


def _print(line: str) -> None:
    print(line, file=sys.stderr)


def prepare(
    network: nn.Module,
    device: torch.device,
    engine: str = "auto",
    *,
    precision: str = "fp32",
    max_memory: int | None = None,
    at_once: bool = False,
    say: Callable[[str], Any] = _print,
) -> nn.Module:
    """A network in its form for inference, computed by an engine.

    "auto" takes ONNX Runtime on a CPU and PyTorch on a GPU. Where ONNX Runtime cannot compute the
    network, PyTorch does.

    Args:
        network: With its final weights, on its device.
        device: Where it is.
        engine: One of `ENGINES`.
        precision: "fp32", "bf16" or "fp16".
        max_memory: The limit in bytes that is to be kept, if any.
        at_once: Convert the graph now; otherwise "auto" does so once `WORTH_CONVERTING` pixels
            have been seen.
        say: Told, once and in one line, why "auto" takes PyTorch on a CPU.

    Returns:
        A network that is used as the one given; its outputs differ by at most 1e-4
        (those of ill-conditioned networks by 1e-3).

    Raises:
        UserError: There is no such engine, or it was asked for by name and cannot compute the
            network.
    """
    if engine not in ENGINES:
        raise UserError(f"engine must be {', '.join(ENGINES)}, but got {engine!r}")
    name = contract_of(network).title
    if isinstance(network, OnnxNetwork):
        if engine == "pytorch":
            raise UserError("--engine pytorch: an .onnx file needs ONNX Runtime; give the weights")
        return network
    network = contract_of(network).fold()
    if engine == "pytorch" or (engine == "auto" and prefers_pytorch(network, device)):
        return network
    declared = contract_of(network)
    obstacle = _obstacle(device, precision, max_memory) or declared.untraceable or declared.no_onnx
    if obstacle and engine == "onnx":
        raise UserError(f"--engine onnx: cannot compute {name}: {obstacle}")
    if obstacle:
        say(f"{name} is computed by PyTorch: {obstacle}")
        return network
    prepared = OnnxEngine(network, say).eval()
    if engine == "onnx" or at_once:
        prepared.start(required=engine == "onnx")
    return prepared


def convert_now(network: nn.Module) -> None:
    """Convert a network that `prepare` returned, where it would be converted after some images."""
    if isinstance(network, OnnxEngine) and not network.started:
        network.start()


def prefers_pytorch(network: nn.Module, device: torch.device) -> bool:
    """Whether PyTorch is the right engine by itself: on a GPU, and for kernels of our own."""
    return device.type != "cpu" or contract_of(network).has_kernels


def engine_name(network: nn.Module) -> str:
    """The engines that have computed a prepared network so far, as text."""
    if isinstance(network, OnnxEngine):
        return " and ".join(NAMES[name] for name in sorted(network.used)) or NAMES["pytorch"]
    return NAMES["onnx" if isinstance(network, OnnxNetwork) else "pytorch"]


def _obstacle(device: torch.device, precision: str, max_memory: int | None) -> str | None:
    """What keeps ONNX Runtime from computing any network, if anything."""
    if device.type != "cpu":
        return "ONNX Runtime computes on the CPU; use --device cpu"
    if precision != "fp32":
        return f"ONNX Runtime computes in fp32, not in {precision}"
    if max_memory:
        return "only PyTorch's memory is accounted for, as --max_memory needs"
    return None


class OnnxEngine(Network):
    """A network that ONNX Runtime computes, and PyTorch where ONNX Runtime cannot.

    The graph is converted, or read from the cache, once `WORTH_CONVERTING` pixels have been seen:
    the decision depends on the images alone, so the same run gives the same bits again. PyTorch
    computes everything other than the image itself: stages, named outputs, and tiles, which must
    know something about the whole image (archs/parts/tile_context.py).

    Args:
        network: On the CPU, with its final weights.
        say: Told once why PyTorch computes instead.

    Attributes:
        used: The engines that have computed an image so far.
        started: It has been tried to convert the graph.
    """

    def __init__(self, network: nn.Module, say: Callable[[str], Any]) -> None:
        super().__init__()
        declared = contract_of(network)
        for attribute in Network.__annotations__.keys() - {"published"}:
            setattr(self, attribute, getattr(declared, attribute))
        self.network, self.say = network, say
        self.used: set[str] = set()
        self._session: InferenceSession | None = None
        self.started, self._said, self._pixels = False, False, 0

    def __getstate__(self) -> dict[str, Any]:
        """Without the session, which cannot be copied: a copy reads the graph from the cache."""
        again = {"_session": None, "started": False, "_pixels": WORTH_CONVERTING}
        return self.__dict__ | (again if self._session else {})

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to what the network gives."""
        self._pixels += image[:, 0].numel()
        if self._pixels >= WORTH_CONVERTING and not self.started:
            self.start()
        if self._session:
            try:
                session = self._session  # a batch gains nothing, and takes more memory
                output = torch.cat([run_session(session, one) for one in image.split(1)])
            except Exception as error:  # onnxruntime's own kinds of error share no base
                self._session = None
                self.fall_back(reason_of(error))
            else:
                self.used.add("onnx")
                return output
        self.used.add("pytorch")
        return self.network(image)

    def start(self, required: bool = False) -> None:
        """Convert the network, or read its graph from the cache.

        Raises:
            UserError: It is `required`, and cannot be converted.
        """
        self.started = True
        try:
            self._session = _cached_session(self.network)
        except Exception as error:  # the exporter's and onnxruntime's errors share no base
            if required:
                raise UserError(
                    f"--engine onnx: cannot compute {self.title}: {reason_of(error)}"
                ) from error
            self.fall_back(reason_of(error))

    @property
    def title(self) -> str:
        """The network's own."""
        return contract_of(self.network).title

    def stages(self, x: Tensor) -> dict[str, Tensor]:
        """The network's own, by PyTorch."""
        return contract_of(self.network).stages(x)

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The network's own, by PyTorch."""
        return contract_of(self.network).outputs(lq, gt)

    def survey(self, image: Tensor) -> bool:
        """The network's own, by PyTorch."""
        return contract_of(self.network).survey(image)

    def fall_back(self, reason: str) -> None:
        """Say, once, why PyTorch computes instead."""
        self.used.add("pytorch")
        if not self._said:
            self.say(f"{self.title} is computed by PyTorch: {reason}")
        self._said = True


def _cached_session(network: nn.Module) -> InferenceSession:
    """A session for a network, its graph out of the cache or converted and checked now."""
    key = fingerprint(network)
    graph = read_graph(key)
    if graph:
        return open_session(graph)
    wrapped = AnySize(network).eval()
    converted = onnx_by_tracing(wrapped)
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        session = open_session(converted, optimised)
        content = optimised.read_bytes()
    with torch.no_grad():
        found = compare(wrapped, lambda image: run_session(session, image), SIZES[:2])
    if not found.equal:
        raise ValueError(f"its ONNX graph differs by {found.difference:.2g} {found.where}")
    write_graph(key, content)
    return session
