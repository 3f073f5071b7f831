"""Detectors that users supply: torchvision's, recognised by their weights, and ONNX graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from enhancement.data.boxes import CLASSES
from enhancement.errors import UserError
from enhancement.files import require_file
from enhancement.inference.onnx_network import ONNX, open_session
from enhancement.weights.state_dicts import mismatches, read_weights

COCO = {  # COCO's number of each of ExDark's classes
    **{"Bicycle": 2, "Boat": 9, "Bottle": 44, "Bus": 6, "Car": 3, "Cat": 17},
    **{"Chair": 62, "Cup": 47, "Dog": 18, "Motorbike": 4, "People": 1, "Table": 67},
}
COCO_CLASSES, OWN_CLASSES = 91, len(CLASSES) + 1  # with the background
LOGITS = "head.classification_head."
# torchvision's builders: the tensor whose first side tells the classes, and how many times each
BUILDERS = {
    "fasterrcnn_resnet50_fpn": ("roi_heads.box_predictor.cls_score.weight", 1),
    "fasterrcnn_resnet50_fpn_v2": ("roi_heads.box_predictor.cls_score.weight", 1),
    "fasterrcnn_mobilenet_v3_large_fpn": ("roi_heads.box_predictor.cls_score.weight", 1),
    "fasterrcnn_mobilenet_v3_large_320_fpn": ("roi_heads.box_predictor.cls_score.weight", 1),
    "retinanet_resnet50_fpn": (f"{LOGITS}cls_logits.weight", 9),
    "retinanet_resnet50_fpn_v2": (f"{LOGITS}cls_logits.weight", 9),
    "fcos_resnet50_fpn": (f"{LOGITS}cls_logits.weight", 1),
    "ssdlite320_mobilenet_v3_large": (f"{LOGITS}module_list.0.1.weight", 6),
    "ssd300_vgg16": (f"{LOGITS}module_list.0.weight", 4),
}
COUNTERS = "num_batches_tracked"  # which published files leave out, and evaluation does not use


class Detections(NamedTuple):
    """What a detector finds in an image.

    Attributes:
        boxes: (N, 4): left, top, right, bottom, in pixels.
        scores: (N,).
        labels: (N,): from 1, in the order of CLASSES.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


Detector = Callable[[Tensor], Detections]


def load_detector(given: str, device: torch.device) -> Detector:
    """The detector of `--detector FILE`, or `NAME:FILE` for one of torchvision's by its name.

    It takes an image (1, 3, H, W) in [0, 1]. Its labels are COCO's or ExDark's own, by how many
    classes it has; of an ONNX graph COCO's.

    Raises:
        UserError: The file cannot be read, or holds no such detector.
    """
    name, colon, rest = given.partition(":")
    named = bool(colon) and name in BUILDERS
    path = Path(rest if named else given)
    require_file(path)
    if path.suffix.lower() == ONNX:
        return _of_graph(path)
    state = read_weights(path)[0]
    for builder in [name] if named else BUILDERS:
        network = _fitting(builder, state)
        if network is not None:
            return _of_network(network.eval().to(device), _classes(builder, state))
    which = name if named else f"one of {', '.join(BUILDERS)}"
    raise UserError(f"--detector: {path} fits no torchvision detector; expected {which}")


def _classes(builder: str, state: Mapping[str, Tensor]) -> int:
    """How many classes a state dict's detector tells apart, the background included; 0 if none."""
    key, each = BUILDERS[builder]
    return state[key].shape[0] // each if key in state else 0


def _fitting(builder: str, state: Mapping[str, Tensor]) -> nn.Module | None:
    """The detector with these weights, or None where they do not fit."""
    from torchvision.models import detection

    classes = _classes(builder, state)
    if classes not in (COCO_CLASSES, OWN_CLASSES):
        return None
    make = getattr(detection, builder)
    network: nn.Module = make(weights=None, weights_backbone=None, num_classes=classes)
    own = network.state_dict()
    counters = {key: value for key, value in own.items() if key.endswith(COUNTERS)}
    whole = {**counters, **state}
    if mismatches(network, whole):
        return None
    network.load_state_dict(whole)
    return network


def _of_network(network: nn.Module, classes: int) -> Detector:
    def detect(image: Tensor) -> Detections:
        with torch.inference_mode():
            found: dict[str, Tensor] = network([image[0]])[0]
        return as_exdark(found["boxes"], found["scores"], found["labels"], classes)

    return detect


def _of_graph(path: Path) -> Detector:
    try:
        session = open_session(str(path))
    except Exception as error:  # onnxruntime's errors share no base
        raise UserError(f"--detector: {path} cannot be read ({error})") from error
    entry = session.get_inputs()[0]

    def detect(image: Tensor) -> Detections:
        array = image.cpu().numpy() if len(entry.shape) == 4 else image[0].cpu().numpy()
        try:
            outputs = session.run(None, {entry.name: array})
        except Exception as error:
            raise UserError(f"--detector: {path} cannot compute an image ({error})") from error
        return as_exdark(*_sorted_out(outputs, path), COCO_CLASSES)

    return detect


def _sorted_out(outputs: list[Any], path: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and labels among a graph's outputs, by what they look like."""
    tensors = [torch.as_tensor(output) for output in outputs]
    tensors = [t[0] if t.ndim > 1 and t.shape[0] == 1 and t.shape[-1] != 4 else t for t in tensors]
    tensors = [t[0] if t.ndim == 3 and t.shape[0] == 1 else t for t in tensors]
    boxes = [t for t in tensors if t.ndim == 2 and t.shape[-1] == 4]
    scores = [t for t in tensors if t.ndim == 1 and t.is_floating_point()]
    labels = [t for t in tensors if t.ndim == 1 and not t.is_floating_point()]
    if not (len(boxes) == len(scores) == len(labels) == 1):
        shapes = ", ".join(f"{tuple(t.shape)} of {t.dtype}" for t in tensors)
        raise UserError(
            f"--detector: {path} gives {shapes}; expected boxes (N, 4), scores (N,) and whole "
            f"numbers as labels (N,)"
        )
    return boxes[0], scores[0], labels[0]


def as_exdark(boxes: Tensor, scores: Tensor, labels: Tensor, classes: int) -> Detections:
    """Detections of ExDark's classes, under its numbers; others are left out."""
    numbers = {n: n for n in range(1, OWN_CLASSES)}
    if classes == COCO_CLASSES:
        numbers = {COCO[name]: number for number, name in enumerate(CLASSES, 1)}
    own = [numbers.get(int(label), 0) for label in labels]
    kept = torch.tensor([bool(number) for number in own], dtype=torch.bool)
    renamed = torch.tensor([number for number in own if number], dtype=torch.int64)
    return Detections(boxes.cpu().float()[kept], scores.cpu().float()[kept], renamed)
