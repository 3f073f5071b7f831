"""Networks as graphs for any image size: ONNX or TorchScript, as bytes."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from enhancement.archs.contract import contract_of
from enhancement.archs.parts.padding import pad_to_multiple

# (B, H, W) at which a graph is checked
SIZES = ((1, 64, 96), (1, 75, 53), (2, 101, 130), (1, 50, 1), (1, 1, 50))
TOLERANCE = 1e-4
LARGEST_TOLERANCE = 1e-3  # a quarter of a level of 8 bits
NOISE = 1e-7  # about the rounding of an input in [0, 1]
OPSET = 20  # the first whose GridSample takes 5 dimensions
INPUT = "image"
AXES = {0: "batch", 2: "height", 3: "width"}
OUTPUTS = {"image": "enhanced", "mask": "mask_logits"}  # by what a network gives


class AnySize(nn.Module):
    """A network that pads to its multiple and crops back inside its own graph.

    Args:
        network: Any registered network; if it returns a tuple or list, the first entry counts.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, declared = network, contract_of(network)
        self.sizes = declared.size_multiple, declared.smallest_size, declared.square
        self.gives = declared.gives

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] of any size to the same shape, or to logits (B, 1, H, W)."""
        output = self.network(pad_to_multiple(image, *self.sizes))
        if isinstance(output, (tuple, list)):
            output = output[0]
        return output[..., : image.shape[2], : image.shape[3]]


def onnx_by_tracing(network: AnySize) -> bytes:
    """An ONNX graph from a traced forward pass; takes a second, but not every operator."""
    file = io.BytesIO()
    output = OUTPUTS[network.gives]
    with _recording():
        torch.onnx.export(
            network,
            (_example(),),
            file,  # type: ignore[arg-type]  # this exporter writes to buffers as well
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[output],
            dynamic_axes={INPUT: AXES, output: AXES},
        )
    return file.getvalue()


def onnx_by_dynamo(network: AnySize) -> bytes:
    """An ONNX graph from PyTorch's newer exporter; takes more operators, and ten times as long."""
    dynamic = torch.export.Dim.DYNAMIC
    with _recording():
        program: Any = torch.onnx.export(
            network,
            (_example(),),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUTS[network.gives]],
            dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
        )
        return program.model_proto.SerializeToString()


def with_metadata(graph: bytes, meta: dict[str, Any]) -> bytes:
    """An ONNX graph with `meta` in its metadata; values other than texts become JSON."""
    import onnx

    model = onnx.load_from_string(graph)
    _name_axes(model.graph)
    texts = {name: v if isinstance(v, str) else json.dumps(v) for name, v in meta.items()}
    onnx.helper.set_model_props(model, texts)
    return model.SerializeToString()


def _name_axes(graph: Any) -> None:
    """Give an ONNX graph's axes their names where an exporter has called them `s40`."""
    shapes = [value.type.tensor_type.shape.dim for value in (*graph.input, *graph.output)]
    names = {shapes[0][axis].dim_param: name for axis, name in AXES.items()}
    for value in graph.value_info:
        for side in value.type.tensor_type.shape.dim:
            if side.dim_param in names:
                side.dim_param = names[side.dim_param]
    for shape in shapes:
        for axis, name in AXES.items():
            shape[axis].dim_param = name
    shapes[-1][1].dim_value = 1 if graph.output[0].name == OUTPUTS["mask"] else 3


def torchscript(network: AnySize, meta: dict[str, Any]) -> bytes:
    """A traced TorchScript program, with `meta` as its extra file meta.json."""
    file = io.BytesIO()
    with _recording():
        traced = torch.jit.trace(network, _example(), check_trace=False)
        torch.jit.save(traced, file, _extra_files={"meta.json": json.dumps(meta)})
    return file.getvalue()


def load_torchscript(program: bytes) -> Callable[[Tensor], Tensor]:
    """A program that this process has just written itself: loading one runs its code."""
    with _recording():
        return torch.jit.load(io.BytesIO(program), map_location="cpu")


class Comparison(NamedTuple):
    """How far two networks' outputs are apart.

    Attributes:
        difference: The largest, relative to expected values beyond 1.
        allowed: `TOLERANCE`; up to `LARGEST_TOLERANCE` for an ill-conditioned network.
        where: Its size, channel and place, and both values.
    """

    difference: float
    allowed: float
    where: str

    @property
    def equal(self) -> bool:
        """Whether the difference is allowed."""
        return self.difference <= self.allowed


def compare(
    reference: Callable[[Tensor], Tensor],
    other: Callable[[Tensor], Tensor],
    sizes: tuple[tuple[int, int, int], ...] = SIZES,
) -> Comparison:
    """Compare two networks on random images of some sizes (B, H, W), and give the worst result.

    Rounding alone moves an ill-conditioned network's output by more than `TOLERANCE`, PyTorch's own
    between two processors. Ten times what noise of `NOISE` in the image does is allowed.
    """
    worst, allowed = Comparison(-1.0, TOLERANCE, ""), TOLERANCE
    for batch, height, width in sizes:
        generator = torch.Generator().manual_seed(height)
        image = torch.rand(batch, 3, height, width, generator=generator)
        expected, found = reference(image), other(image)
        if found.shape != expected.shape:
            shape = tuple(found.shape)
            return Comparison(float("inf"), TOLERANCE, f"its output at {width}x{height} is {shape}")
        differences = _difference(found, expected)
        difference = differences.max().item()
        if difference > allowed:
            noisy = image + NOISE * torch.randn(image.shape, generator=generator)
            effect = _difference(reference(noisy), expected).max().item()
            allowed = min(max(allowed, 10 * effect), LARGEST_TOLERANCE)
        if difference / allowed > worst.difference / worst.allowed:
            place = torch.unravel_index(differences.argmax(), differences.shape)
            _, channel, y, x = (int(n) for n in place)
            where = (
                f"at {width}x{height}, channel {channel}, row {y}, column {x}: "
                f"{found[place].item():.6f} instead of {expected[place].item():.6f}"
            )
            worst = Comparison(difference, allowed, where)
    return worst


def _difference(found: Tensor, expected: Tensor) -> Tensor:
    """Of each value, relative to expected values beyond 1; infinite where it is not a number."""
    difference = (found - expected).abs() / expected.abs().clamp_min(1)
    return difference.nan_to_num(nan=float("inf"))


def reason_of(error: Exception) -> str:
    """What an exporter or ONNX Runtime says about a failure, in one line."""
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    line = next((line for line in lines if line.startswith("Exporting")), lines[0])
    return line.split(" Status Message:")[0].removeprefix("[ONNXRuntimeError] : ")


@contextmanager
def _recording() -> Iterator[None]:
    """Without gradients, and without the exporters' own remarks."""
    logging.disable(logging.WARNING)
    # it prints the whole graph of what cannot be converted; the exporter turns its switch back on
    say, torch._C._jit_onnx_log = torch._C._jit_onnx_log, lambda *said: None
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch._C._jit_onnx_log = say
        logging.disable(logging.NOTSET)


def _example() -> Tensor:
    return torch.rand(2, 3, 45, 67)
