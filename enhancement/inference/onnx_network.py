"""ONNX graphs computed by ONNX Runtime, and the networks that files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from enhancement.archs.contract import Network
from enhancement.errors import UserError, first_line
from enhancement.files import require_file
from enhancement.inference.conversion import OUTPUTS
from enhancement.weights.meta import checked_meta
from enhancement.weights.networks import build_from_file

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ONNX = ".onnx"  # ending of the files' names


def open_network(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """A network from weights or an ONNX file alone, and what the file says about itself.

    Raises:
        UserError: The file cannot be read, or does not say which network it holds.
    """
    if Path(path).suffix.lower() == ONNX:
        network = OnnxNetwork(path)
        return network, network.meta
    return build_from_file(path)


def open_session(
    graph: str | bytes, optimised: Path | None = None, gpu: bool = False
) -> InferenceSession:
    """A session of ONNX Runtime with as many threads as PyTorch has.

    Args:
        graph: A file's name or its content.
        optimised: Where to write the graph as ONNX Runtime has optimised it for this processor.
        gpu: Compute on a GPU where ONNX Runtime can.

    Raises:
        Exception: One of ONNX Runtime's own, which share no base: the graph cannot be read.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised
    # without spinning the threads that decode and encode are not held up
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # planning which tensors share memory took 1.8 s for IGLFM, and saved none: the arena does that
    options.enable_mem_reuse = False
    if optimised:
        options.optimized_model_filepath = str(optimised)
    wanted = ["CUDAExecutionProvider"] * gpu + ["CPUExecutionProvider"]
    available = onnxruntime.get_available_providers()
    return onnxruntime.InferenceSession(
        graph, options, providers=[name for name in wanted if name in available]
    )


def run_session(session: InferenceSession, image: Tensor) -> Tensor:
    """What a graph gives for an image (B, 3, H, W), on the CPU."""
    feed = {session.get_inputs()[0].name: image.float().cpu().numpy()}
    return torch.from_numpy(session.run(None, feed)[0])


def _session_of(graph: str | bytes, name: str) -> InferenceSession:
    """A session for an ONNX file, or for its content, on a GPU where there is one.

    Raises:
        UserError: It is damaged, or not there; begins with `name`.
    """
    try:
        return open_session(graph, gpu=True)
    except Exception as error:  # onnxruntime's own kinds of error share no base
        why = first_line(error)
        raise UserError(f"{name}: cannot be read as an ONNX network ({why})") from error


def _require_graph(path: str | Path) -> None:
    """Refuse what is no file.

    Raises:
        UserError: It is none.
    """
    try:
        require_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _refuse_other_files(path: str | Path) -> None:
    """Refuse a graph whose tensors lie in other files: a file chooses no other one to read.

    Raises:
        UserError: It is one.
    """
    import onnx
    from onnx.external_data_helper import uses_external_data

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # protobuf's own: what is wrong is said when the graph is opened
        return
    pending: list[Any] = [model.graph, *model.functions]
    while pending:
        part = pending.pop()
        given = [a for node in part.node for a in node.attribute]
        sparse = [*getattr(part, "sparse_initializer", ()), *(a.sparse_tensor for a in given)]
        tensors = [*getattr(part, "initializer", ()), *(a.t for a in given)]
        tensors += [t for a in given for t in a.tensors]
        tensors += [t for both in sparse for t in (both.values, both.indices)]
        if any(map(uses_external_data, tensors)):
            raise UserError(
                f"{path}: keeps weights in other files, which are not read; save it as one file "
                f"(onnx.save_model with save_as_external_data=False)"
            )
        pending += [a.g for a in given if a.HasField("g")] + [g for a in given for g in a.graphs]


def _meta(texts: dict[str, str], where: str) -> dict[str, Any]:
    """What an ONNX file says of itself, the entries that `export` writes checked.

    Raises:
        UserError: `network_g` is not the JSON of a block.
    """
    meta: dict[str, Any] = {key: texts[key] for key in ("name", "network_g") if key in texts}
    try:
        if "network_g" in meta:
            meta["network_g"] = json.loads(meta["network_g"])
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: its network_g is not JSON ({error})") from error
    return checked_meta(meta, where)


class OnnxNetwork(Network):
    """An exported ONNX file as a network, computed by ONNX Runtime.

    Args:
        graph: A file written by `export`, or any other that maps (B, 3, H, W) in [0, 1] to the same
            shape; or such a file's content.

    Attributes:
        meta: The file's metadata; `network_g` decoded.
        gives: "image" or "mask", by the name of the output.

    Raises:
        UserError: No such file, damaged, or with other inputs.
    """

    whole_image = True  # it cannot be told what tiles must know about the whole image

    def __init__(self, graph: str | Path | bytes) -> None:
        super().__init__()
        name = "the graph" if isinstance(graph, bytes) else str(graph)
        if not isinstance(graph, bytes):
            _require_graph(graph)
            _refuse_other_files(graph)
        self._graph = graph if isinstance(graph, bytes) else str(Path(graph).absolute())
        self.session = _session_of(self._graph, name)
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise UserError(
                f"{name}: expected one input (B, 3, H, W), but it has "
                f"{[(i.name, i.shape) for i in inputs]}"
            )
        outputs = [output.name for output in self.session.get_outputs()]
        if not outputs:
            raise UserError(f"{name}: has no output; expected one of the input's shape")
        self.gives = "mask" if outputs[0] == OUTPUTS["mask"] else "image"
        self.meta = _meta(dict(self.session.get_modelmeta().custom_metadata_map), name)

    def __getstate__(self) -> dict[str, Any]:
        """Without the session, which cannot be copied: a copy opens the graph again."""
        return {name: value for name, value in self.__dict__.items() if name != "session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        name = self._graph if isinstance(self._graph, str) else "the graph"
        self.session = _session_of(self._graph, name)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same shape, on the CPU.

        Raises:
            UserError: The file's network does not take this size.
        """
        try:
            return run_session(self.session, image)
        except Exception as error:
            size = f"{image.shape[-1]}x{image.shape[-2]}"
            raise UserError(
                f"the ONNX network does not take {size} ({first_line(error)})"
            ) from error
