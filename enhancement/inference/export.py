"""Networks as ONNX or TorchScript files for any image size, checked before they are kept."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from enhancement.archs.contract import Network, contract_of
from enhancement.archs.padding import pad_to_multiple
from enhancement.errors import UserError
from enhancement.weights.networks import build_from_file

FORMATS = {"onnx": ".onnx", "torchscript": ".pt"}
SIZES = ((1, 64, 96), (1, 75, 53), (2, 101, 130))  # (B, H, W) that a file is checked at
TOLERANCE = 1e-4
OPSET = 20  # the first whose GridSample takes 5 dimensions
INPUT = "image"
OUTPUTS = {"image": "enhanced", "mask": "mask_logits"}  # by what a network gives


class AnySize(nn.Module):
    """A network that pads to its multiple and cuts back, inside its own graph.

    Args:
        network: Any registered network; a tuple or list output counts by its first entry.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, declared = network, contract_of(network)
        self.multiple, self.smallest = declared.size_multiple, declared.smallest_size
        self.gives = declared.gives

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] of any size to the same shape, or to logits (B, 1, H, W)."""
        output = self.network(pad_to_multiple(image, self.multiple, self.smallest))
        if isinstance(output, (tuple, list)):
            output = output[0]
        return output[..., : image.shape[2], : image.shape[3]]


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporters' own remarks."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _example() -> Tensor:
    return torch.rand(2, 3, 45, 67)


def write_onnx(network: AnySize, path: Path, meta: dict[str, Any]) -> None:
    """Write an ONNX file with dynamic batch, height and width, and `meta` in its metadata."""
    dynamic = torch.export.Dim.DYNAMIC
    program: Any = torch.onnx.export(
        network, (_example(),), dynamo=True, opset_version=OPSET, verbose=False,
        input_names=[INPUT], output_names=[OUTPUTS[network.gives]],
        dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
    )  # fmt: skip
    program.model.metadata_props.update(
        {name: value if isinstance(value, str) else json.dumps(value)
         for name, value in meta.items()}
    )  # fmt: skip
    program.save(str(path), external_data=False)


def write_torchscript(network: nn.Module, path: Path, meta: dict[str, Any]) -> None:
    """Write a traced TorchScript file, with `meta` as its extra file meta.json."""
    traced = torch.jit.trace(network, _example(), check_trace=False)
    torch.jit.save(traced, str(path), _extra_files={"meta.json": json.dumps(meta)})


def largest_difference(
    reference: Callable[[Tensor], Tensor], other: Callable[[Tensor], Tensor]
) -> tuple[float, str]:
    """Compare two networks at `SIZES`.

    Returns:
        The largest absolute difference, and where it lies.
    """
    worst, where = -1.0, ""
    for batch, height, width in SIZES:
        image = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height))
        expected, found = reference(image), other(image)
        if found.shape != expected.shape:
            return float("inf"), f"its output at {width}x{height} is {tuple(found.shape)}"
        difference = (found - expected).abs().nan_to_num(nan=float("inf"))
        if difference.max() > worst:
            worst = difference.max().item()
            place = torch.unravel_index(difference.argmax(), difference.shape)
            _, channel, y, x = (int(n) for n in place)
            where = (
                f"at {width}x{height}, channel {channel}, row {y}, column {x}: "
                f"{found[place].item():.6f} instead of {expected[place].item():.6f}"
            )
    return worst, where


def export(network: nn.Module, kind: str, path: Path, meta: dict[str, Any]) -> tuple[float, str]:
    """Write a file that any image size can be run through, and check it against PyTorch.

    Args:
        network: On the CPU, with its weights.
        kind: "onnx" or "torchscript".
        path: The file; it appears once it has passed.
        meta: Kept in the file, `network_g` and `name` among it.

    Returns:
        The largest difference of outputs at `SIZES`, and where.

    Raises:
        UserError: It cannot be exported, computes something else, or cannot be written.
    """
    wrapped = AnySize(network.eval()).eval()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{FORMATS[kind]}")
    write, load = (write_onnx, OnnxNetwork) if kind == "onnx" else (write_torchscript, _torchscript)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            try:
                with _quietly():
                    write(wrapped, temporary, meta)
            except OSError:
                raise
            except Exception as error:
                reason = str(error.__cause__ or error).strip().splitlines()[0]
                raise UserError(
                    f"{type(network).__name__} cannot be exported as {kind}: {reason}"
                ) from error
            difference, where = largest_difference(wrapped, load(temporary))
        if difference > TOLERANCE:
            raise UserError(
                f"{path}: not kept, because it differs from PyTorch by up to {difference:.2g} "
                f"(allowed: {TOLERANCE:g}); {where}"
            )
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # where a file is taken for a folder
            temporary.unlink(missing_ok=True)
    return difference, where


def _torchscript(path: Path) -> Callable[[Tensor], Tensor]:
    """A file that this process has just written itself: loading one runs its code."""
    with _quietly():
        return torch.jit.load(str(path), map_location="cpu")


def open_network(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """A network from weights or an ONNX file alone, and what the file says of itself.

    Raises:
        UserError: The file cannot be read, or does not say which network it holds.
    """
    if Path(path).suffix.lower() == ".onnx":
        network = OnnxNetwork(path)
        return network, network.meta
    return build_from_file(path)


class OnnxNetwork(Network):
    """An exported ONNX file as a network, computed by ONNX Runtime.

    Args:
        path: Written by `export`, or any file that maps (B, 3, H, W) in [0, 1] to the same shape.

    Attributes:
        meta: The file's metadata; `network_g` decoded.
        gives: "image" or "mask", by the name of the output.

    Raises:
        UserError: No such file, damaged, or with other inputs.
    """

    whole_image = True  # what tiles must know of the whole image cannot be told to it

    def __init__(self, path: str | Path) -> None:
        import onnxruntime

        super().__init__()
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what goes wrong is raised
        available = onnxruntime.get_available_providers()
        wanted = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in available]
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        except Exception as error:  # onnxruntime's own kinds of error share no base
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{path}: cannot be read as an ONNX network ({reason})") from error
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise UserError(f"{path}: expected one input (B, 3, H, W), but it has "
                            f"{[(i.name, i.shape) for i in inputs]}")  # fmt: skip
        output = self.session.get_outputs()[0].name
        self.gives = "mask" if output == OUTPUTS["mask"] else "image"
        self.meta: dict[str, Any] = dict(self.session.get_modelmeta().custom_metadata_map)
        if "network_g" in self.meta:
            self.meta["network_g"] = json.loads(self.meta["network_g"])

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same shape, on the CPU.

        Raises:
            UserError: The file's network does not take this size.
        """
        feed = {self.session.get_inputs()[0].name: image.float().cpu().numpy()}
        try:
            return torch.from_numpy(self.session.run(None, feed)[0])
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"the ONNX network does not take {image.shape[-1]}x{image.shape[-2]} ({reason})"
            ) from error
