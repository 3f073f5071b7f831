"""Whether model, network, losses, weights, frozen parts and masks match one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from enhancement.archs.contract import contract_of
from enhancement.compat import train_keys
from enhancement.errors import UserError, hint
from enhancement.paths import locate, missing_hint
from enhancement.registry import LOSS_REGISTRY, is_ours, lookup
from enhancement.scoring.segmentation import load_segmentation
from enhancement.weights.parts import part_state
from enhancement.weights.state_dicts import misfits, own_names, read_weights

from .blocks import Block, constructor_fault
from .needs import Needs, compared_by
from .schema import LOSS_SUFFIX, losses_of
from .signature import Fault

FILES = ("pretrain_network_g", "init_network_g", "resume_state")
ALWAYS_READ = {"total_iter", "warmup_iter", "scheduler"}
MASK_MODELS = "`model_type: SegmentationModel` or `SegmentationGuidedModel`"


def block(options: Any, *at: str) -> dict[str, Any]:
    """A block of the options; {} where it is missing or no block."""
    for key in at:
        options = options.get(key) if isinstance(options, dict) else None
    return options if isinstance(options, dict) else {}


def registered_as(registry: Any, name: Any) -> Any:
    """What is registered under a name, or None."""
    try:
        return lookup(registry, str(name))
    except UserError:
        return None


def model_faults(options: dict[str, Any], model: Any) -> Iterator[Fault]:
    """BasicSR's own models ignore what they do not know; batches are computed in equal parts."""
    train = block(options, "train")
    if model is not None and not is_ours(model):
        read = train_keys(model) | ALWAYS_READ
        for key, value in train.items():
            if key not in read and value is not None:
                yield ("train", key), f"{model.__name__} does not read it; {hint(key, read)}"
    parts, sets = train.get("accumulate", 1), block(options, "datasets", "train")
    sizes = sets.get("mini_batch_sizes")
    for size in (sets.get("batch_size_per_gpu", 1), *(sizes if isinstance(sizes, list) else ())):
        if isinstance(parts, int) and parts > 0 and isinstance(size, int) and size % parts:
            text = f"expected a divisor of the batch size {size}, but got {parts}"
            yield ("train", "accumulate"), text


def loss_faults(options: dict[str, Any], needs: Needs) -> Iterator[Fault]:
    """Each loss compares what the model gives it, and a model of masks has a loss of masks."""
    model, subjects = options.get("model_type"), set()
    losses = losses_of(block(options, "train"))
    for name, given in losses.items():
        loss = block(given).get("type")
        kind = registered_as(LOSS_REGISTRY, loss)
        if kind is None:
            continue
        subject = compared_by(kind)
        subjects.add(subject)
        if subject in needs.losses:
            continue
        text = {
            "illumination": f"{loss} needs `model_type: IlluminationModel`",
            "mask": f"{loss} compares masks, which {model} has none of; expected {MASK_MODELS}",
        }.get(subject, "does not compare masks")
        yield ("train", f"{name}{LOSS_SUFFIX}", "type"), text
    if losses and needs.masks and "mask" not in subjects:
        yield ("train",), f"{model} needs a loss of masks: DiceBCELoss or StructureLoss"
    if needs.masks and block(options, "train", "mixing_augs"):
        text = f"mixes images but not masks; {model} cannot use it"
        yield ("train", "mixing_augs"), text


def path_faults(options: dict[str, Any], training: bool) -> Iterator[Fault]:
    """The files of weights that `path` names are there."""
    for key in FILES if training else FILES[:1]:
        path = block(options, "path").get(key)
        if isinstance(path, str) and not locate(path).is_file():
            yield ("path", key), f"{locate(path)}: no such file; {missing_hint(path)}"


def build_light(network: Block) -> nn.Module:
    """Build a network without memory for its weights; some of BasicSR's need it after all."""
    try:
        with torch.device("meta"):
            return network.build()
    except (RuntimeError, NotImplementedError):
        return network.build()


def network_faults(
    options: dict[str, Any], found: Block, needs: Needs, training: bool, with_files: bool
) -> Iterator[Fault]:
    """The network can be built, gives what the model trains, and takes the weights."""
    networks: list[nn.Module] = []
    fault = constructor_fault(lambda: networks.append(build_light(found)))
    if fault:
        yield ("network_g",), fault
        return
    network, model = networks[0], options.get("model_type")
    declared = contract_of(network)
    if needs.illumination and not declared.gives_illumination:
        text = (
            f"{found.type} as it is here gives no illumination map, which {model} trains; "
            f"HDRNet with `mode: illumination` does"
        )
        yield ("network_g",), text
    if training and block(options, "train").get("precision") == "fp16" and not declared.fp16:
        text = f"{found.type} is not known to compute in fp16; expected bf16 or fp32"
        yield ("train", "precision"), text
    if declared.gives != needs.gives and (training or needs.gives == "mask"):
        mask = needs.gives == "mask"
        expected = "a network that gives a mask" if mask else "`model_type: SegmentationModel`"
        yield ("network_g",), f"{found.type} under {model}: expected {expected}"
    if training:
        yield from _frozen_faults(block(options, "train", "frozen"), network, needs, with_files)
    yield from _weights_faults(block(options, "path"), network, training)


def _frozen_faults(
    files: dict[str, Any], network: nn.Module, needs: Needs, with_files: bool
) -> Iterator[Fault]:
    at, parts = ("train", "frozen"), dict(network.named_modules())
    for name in set(needs.frozen) - files.keys():
        yield (*at, name), f"missing; expected the checkpoint of a {name} network"
    for name, path in files.items():
        if name not in needs.frozen and (not name or name not in parts):
            tops = [top for top, _ in network.named_children()]
            text = (
                f"{type(network).__name__} has no such part; {hint(name, [*tops, *needs.frozen])}"
            )
            yield (*at, name), text
        elif with_files and not (isinstance(path, str) and locate(path).is_file()):
            text = f"{path}: no such file; train that stage first, or {missing_hint(str(path))}"
            yield (*at, name), text
        elif with_files:
            part = None if name in needs.frozen else parts[name]
            fault = constructor_fault(partial(_read_frozen, locate(path), name, part))
            if fault:
                yield (*at, name), fault
    trained = (n for n, _ in network.named_parameters() if n.split(".")[0] not in files)
    if len(files) > len(needs.frozen) and not any(trained):
        yield at, "leaves nothing to train"


def _read_frozen(path: Path, name: str, part: nn.Module | None) -> None:
    """Read the weights of a frozen part, or (`part` is None) of the frozen segmentation network."""
    if part is None:
        load_segmentation(path)
        return
    unfit = misfits(part, part_state(path, name, part))
    if unfit:
        raise UserError("\n".join(f"{path}: does not fit {name}: {text}" for text in unfit))


def _weights_faults(paths: dict[str, Any], network: nn.Module, training: bool) -> Iterator[Fault]:
    checks: dict[str, Callable[..., None]] = {"pretrain_network_g": _try_pretrained}
    if training:
        checks["init_network_g"] = _try_initial
    for key, check in checks.items():
        name = paths.get(key)
        if isinstance(name, str) and locate(name).is_file():
            fault = constructor_fault(partial(check, network, locate(name), paths))
            if fault:
                yield ("path", key), fault


def _try_pretrained(network: nn.Module, path: Path, paths: dict[str, Any]) -> None:
    state = own_names(network, read_weights(path, paths.get("param_key_g"))[0])
    unfit = misfits(network, state, paths.get("strict_load_g", True))
    if unfit:
        raise UserError("\n".join(f"{path}: does not fit: {text}" for text in unfit))


def _try_initial(network: nn.Module, path: Path, _: dict[str, Any]) -> None:
    try:
        contract_of(network).initialise_from(read_weights(path)[0])
    except KeyError as error:
        raise UserError(f"{path}: has no entry {error}") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    except NotImplementedError as error:
        raise UserError(str(error)) from error
