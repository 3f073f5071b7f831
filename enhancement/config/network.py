"""Whether a network can be built, gives what the model trains, and takes the weights named."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from torch import nn

from enhancement.archs.contract import Network, contract_of
from enhancement.errors import UserError, first_line, hint, shortened
from enhancement.paths import locate, missing_hint
from enhancement.scoring.segmentation import load_segmentation
from enhancement.weights.parts import part_state
from enhancement.weights.shipped import find_weights
from enhancement.weights.state_dicts import mismatches, own_names, read_weights

from .blocks import Block
from .building import build_on_meta, constructor_fault
from .named_network import nothing_to_train
from .needs import NAMED, Needs, compared_by, taken_by
from .schema import Config
from .sections import PathBlock
from .signature import Fault

LARGEST_MULTIPLE = 512
ALWAYS_GIVEN = ("lq", "gt", "output")  # what any loss may take by name
PROBE_SIZE = 64


def network_faults(
    draft: Config, needs: Needs, training: bool, with_files: bool
) -> Iterator[Fault]:
    """What is wrong with the network, its parts and the weights that they start from.

    Args:
        draft: What is valid of an option file; None stands for the rest.
        needs: Those of its model.
        training: Whether it must be complete for training.
        with_files: Whether the files of frozen parts must exist.
    """
    missing = _missing_weights(draft.path, training)
    yield from ((("path", key), text) for key, text in missing.items())
    found, networks = draft.network_g, list[nn.Module]()
    if found is None:
        return
    if fault := constructor_fault(lambda: networks.append(_build(found))):
        yield ("network_g",), fault
        return
    network = networks[0]
    if training and (fault := nothing_to_train(network)):
        yield ("network_g",), fault
        return
    declared = contract_of(network)
    given = (*ALWAYS_GIVEN, *declared.extra_outputs)
    for taker, names in _taken(draft, needs) if training else ():
        for name in (name for name in names if name not in given):
            text = f"{found.type} as it is here gives no {name}, which {taker} takes; it gives"
            yield ("network_g",), f"{text}: {', '.join(given)}"
    if training and draft.train and draft.train.precision == "fp16" and not declared.fp16:
        text = f"{found.type} is not known to compute in fp16; expected bf16 or fp32"
        yield ("train", "precision"), text
    yield from _small_batches(draft, declared.smallest_batch, network) if training else ()
    if declared.gives != needs.gives and (training or needs.gives == "mask"):
        mask = needs.gives == "mask"
        expected = "a network that gives a mask" if mask else "`model_type: SegmentationModel`"
        yield ("network_g",), f"{found.type} under {draft.model_type}: expected {expected}"
    if training and draft.train is not None:
        yield from _frozen_faults(draft.train.frozen or {}, network, needs, with_files)
    tries = {"pretrain_network_g": _try_pretrained, "init_network_g": _try_initial}
    for key, path in draft.path.model_dump(include=set(tries), exclude_none=True).items():
        if key not in missing and (training or key == "pretrain_network_g"):
            file = find_weights(locate(path))
            fault = constructor_fault(partial(tries[key], network, file, draft.path))
            if fault:
                yield ("path", key), fault


def _taken(draft: Config, needs: Needs) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Who takes what by name: the model, and each named loss."""
    yield draft.model_type, needs.outputs
    for loss in draft.train.losses.values() if draft.train else ():
        if compared_by(loss.kind) == NAMED and NAMED in needs.losses:
            yield loss.type, taken_by(loss.kind)


def _small_batches(draft: Config, smallest: int, network: nn.Module) -> Iterator[Fault]:
    """Batches, or the parts that they are computed in, that are too small to train a network on."""
    sets, train = draft.datasets or {}, draft.train
    for stage in sets["train"].loading.stages if "train" in sets and train else ():
        computed = stage.batch_size // (train.accumulate if train else 1)
        if 0 < computed < smallest:
            text = (
                f"expected batches of {smallest} images or more at once for this network, but got "
                f"{computed}; set datasets.train.batch_size_per_gpu"
            )
            yield ("network_g",), text
        size = stage.gt_size or sets["train"].options.get("gt_size")
        if computed == 1 and size and not _normalises(network, size):
            text = f"one image of {size} leaves a single value to normalise over"
            yield ("network_g",), f"{text}; set batch_size_per_gpu or gt_size of datasets.train"


def _normalises(network: nn.Module, size: int | list[int]) -> bool:
    """Whether batch norm finds more than one value of a channel, training on one image of a size.

    Args:
        network: On the meta device, if it can be there.
        size: A side, or height and width.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return True
    declared, device = contract_of(network), next(network.parameters()).device
    step, sides = declared.size_multiple, [size] * 2 if isinstance(size, int) else size
    shape = [-(-max(n, declared.smallest_size) // step) * step for n in sides]
    try:
        with torch.no_grad():
            deepcopy(network).train()(torch.zeros(1, 3, *shape, device=device))
    except Exception as error:  # others too: not every network computes on the meta device
        return "more than 1 value per channel" not in str(error)
    return True


def _build(block: Block) -> nn.Module:
    """A network without weights; one that is not ours is tried on an image without content.

    Raises:
        UserError: It does not enhance images.
    """
    network: nn.Module = build_on_meta(block.build)
    if isinstance(network, Network):
        return network
    declared = contract_of(network)
    if declared.size_multiple > LARGEST_MULTIPLE:
        raise UserError(
            f"expected a window of at most {LARGEST_MULTIPLE} pixels, but got "
            f"{declared.size_multiple}"
        )
    side = -(-max(PROBE_SIZE, declared.smallest_size) // declared.size_multiple)
    shape = (1, 3, *(2 * [side * declared.size_multiple]))
    try:
        with torch.no_grad(), torch.device("meta"):
            output = contract_of(network.eval().to("meta"))(torch.zeros(shape))
    except Exception as error:
        why = first_line(error)
        raise UserError(f"does not take images (1, 3, H, W): {why}") from error
    if output.shape != shape:
        raise UserError(
            f"expected {shape} for an image {shape}, but gives {tuple(output.shape)}; a "
            f"super-resolution network needs `upscale: 1`"
        )
    return network


def _missing_weights(paths: PathBlock, training: bool) -> dict[str, str]:
    """What is wrong with the files that `path` names, by key."""
    keys = ("pretrain_network_g", "init_network_g", "resume_state")
    named = {key: getattr(paths, key) for key in (keys if training else keys[:1])}
    faults = {
        key: _missing(path, folders=key != "resume_state") for key, path in named.items() if path
    }
    return {key: fault for key, fault in faults.items() if fault}


def _missing(path: str, folders: bool = True) -> str | None:
    """Why there is no file, or folder of files, at a path; None where there is one."""
    try:
        file = find_weights(locate(path))
    except UserError as error:
        return str(error)
    there = file.is_file() or (folders and file.is_dir())  # and not a device
    return None if there else f"{file}: no such file; {missing_hint(path)}"


def _frozen_faults(
    files: dict[str, str], network: nn.Module, needs: Needs, with_files: bool
) -> Iterator[Fault]:
    at, parts = ("train", "frozen"), dict(network.named_modules())
    for name in set(needs.frozen) - files.keys():
        yield (*at, name), f"missing; expected the checkpoint of a {name} network"
    for name, path in files.items():
        if name not in needs.frozen and (not name or name not in parts):
            tops = [top for top, _ in network.named_children()]
            valid = hint(name, [*tops, *needs.frozen])
            yield (*at, name), f"{type(network).__name__} has no such part; {valid}"
        elif with_files and (fault := _missing(path)):
            yield (*at, name), f"{fault}, or train that stage first"
        elif with_files:
            owner, file = None if name in needs.frozen else network, find_weights(locate(path))
            if fault := constructor_fault(partial(_try_frozen, file, name, owner)):
                yield (*at, name), fault
    trained = (n for n, _ in network.named_parameters() if n.split(".")[0] not in files)
    if len(files) > len(needs.frozen) and not any(trained):
        yield at, "leaves nothing to train"


def _try_frozen(path: Path, name: str, network: nn.Module | None) -> None:
    """Read the weights of a network's frozen part, or of the frozen segmentation network."""
    if network is None:
        load_segmentation(path)
        return
    state = part_state(path, name, network)
    _refuse(path, f"does not fit {name}", mismatches(network.get_submodule(name), state))


def _try_pretrained(network: nn.Module, path: Path, paths: PathBlock) -> None:
    state = own_names(network, read_weights(path, paths.param_key_g)[0])
    _refuse(path, "does not fit", mismatches(network, state, paths.strict_load_g))


def _refuse(path: Path, why: str, unfit: list[str]) -> None:
    if unfit:
        raise UserError("\n".join(f"{path}: {why}: {text}" for text in shortened(unfit)))


def _try_initial(network: nn.Module, path: Path, _: PathBlock) -> None:
    try:
        contract_of(network).initialise_from(read_weights(path)[0])
    except NotImplementedError as error:
        raise UserError(str(error)) from error
    except KeyError as error:
        raise UserError(f"{path}: has no entry {error}") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
