"""Option files of Retinexformer, DED-Net and WTNet, read as they stand.

Their datasets of paired folders (LOL, FiveK, NTIRE, the endoscopy sets of WTNet) are read with
nothing but their roots changed.

| theirs | ours |
| --- | --- |
| `model_type: ImageCleanModel` | `EnhancementModel` |
| dataset `type: Dataset_PairedImage` | `PairedDataset` |
| dataset `type` of SID, SMID or SDSD | refused: they are no folders of paired images |
| `network_g.type: MST_Plus_Plus` | refused: it is not among the networks; RetinexFormer is its \
successor |
| `geometric_augs` | `use_hflip` and `use_rot` |
| `cache_data` | `cache: ram` where true |
| `io_backend` disk or lmdb | nothing: the name of the dataroot tells |
| `use_amp` | `train.precision`: `fp16` where true |
| `train.use_grad_clip` | `train.grad_clip: 0.01`, the norm that their code clips to |
| `val.rgb2bgr: true` | nothing: files are always written with the right colours |
| `val.use_image` | `val.protocol`: `basicsr` (8 bits) where true, else `retinexformer` (float) |
| `val.max_minibatch` | nothing: images are validated one at a time |
| `network_g.in_channels`, `inp_channels`, `out_channels` of 3; `bias: false`, \
`LayerNorm_type: WithBias`, `dual_pixel_task: false` | nothing for a network without these \
arguments: it is RGB to RGB, and built that way |
| `logger.wandb.project`, where wandb is not installed | null, and a note: TensorBoard logs the \
run |
| a frequency such as `1e3` | the whole number |

`gt_sizes`, `mini_batch_sizes`, `iters`, `filename_tmpl`, `use_shuffle`, `mixing_augs`,
`window_size` and `dist_params` are keys of our own schema. Any key that is neither listed nor in
the schema stays where it is, and is refused by name when the options are checked. Their files
choose checkpoints on the test set: `val.select_on_test` is set, and every score says so.
"""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from typing import Any

from enhancement.errors import OptionError
from enhancement.registry import ARCH_REGISTRY, lookup, registered

MODEL, DATASET, NETWORK = "ImageCleanModel", "Dataset_PairedImage", "RetinexFormer"
ONE_LONG_EXPOSURE = (
    "matches all short exposures of a scene to one long exposure, kept as .npy arrays; save each "
    "pair as two images of one name"
)
NOT_PAIRED = {
    "Dataset_SIDImage": ONE_LONG_EXPOSURE,
    "Dataset_SMIDImage": ONE_LONG_EXPOSURE,
    "Dataset_SDSDImage": "reads frames kept as .npy arrays, and takes the scenes of testing_dir "
    "for the test set; save the frames of each set as images",
}
NOT_HERE = {
    "MST_Plus_Plus": "the nearest is RetinexFormer, its authors' later network, with "
    "n_feat: 40, stage: 1, num_blocks: [1, 2, 2]",
}
CLIP_NORM = 0.01
FIXED = {  # arguments of theirs, with the values that networks without them are built with
    **dict.fromkeys(("in_channels", "inp_channels", "out_channels"), 3),
    **{"bias": False, "LayerNorm_type": "WithBias", "dual_pixel_task": False},
}
FREQUENCIES = (
    ("val", "val_freq"),
    ("logger", "print_freq"),
    ("logger", "save_checkpoint_freq"),
    ("train", "total_iter"),
)


def is_dialect(options: dict[str, Any]) -> bool:
    """Whether a file names their model or one of their datasets."""
    types = [str(block.get("type")) for block in _datasets(options).values()]
    return options.get("model_type") == MODEL or any(t in (DATASET, *NOT_PAIRED) for t in types)


def translate(options: dict[str, Any]) -> list[str]:
    """Put options of the dialect into our own words, in place.

    Returns:
        Notes for the reader of the option file.

    Raises:
        OptionError: A dataset is not one of paired images, or the network is not registered here.
    """
    _refuse_unsupported(options)
    if options.get("model_type") == MODEL:
        options["model_type"] = "EnhancementModel"
    for block in _datasets(options).values():
        if block.get("type") == DATASET:
            _translate_dataset(block)
    _translate_training(options)
    _translate_validation(options)
    _drop_fixed(_block(options, "network_g"))
    for section, key in FREQUENCIES:
        value = _block(options, section).get(key)
        if isinstance(value, float) and value.is_integer():
            options[section][key] = int(value)
    return _notes(options)


def _block(options: Any, key: str) -> dict[str, Any]:
    block = options.get(key) if isinstance(options, dict) else None
    return block if isinstance(block, dict) else {}


def _datasets(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    sets = _block(options, "datasets")
    return {key: block for key, block in sets.items() if isinstance(block, dict)}


def _refuse_unsupported(options: dict[str, Any]) -> None:
    found: dict[str, list[str]] = {}
    for key, block in _datasets(options).items():
        if str(block.get("type")) in NOT_PAIRED:
            found.setdefault(block["type"], []).append(f"datasets.{key}.type")
    faults = [
        f"{', '.join(keys)}: {kind} is not supported: it {NOT_PAIRED[kind]}, in a folder for lq "
        f"and one for gt, and read them with {DATASET}"
        for kind, keys in found.items()
    ]
    network = str(_block(options, "network_g").get("type"))
    if network in NOT_HERE and network not in registered(ARCH_REGISTRY):
        faults.append(f"network_g.type: {network} is not supported; {NOT_HERE[network]}")
    if faults:
        raise OptionError(faults)


def _translate_dataset(block: dict[str, Any]) -> None:
    block["type"] = "PairedDataset"
    if isinstance(block.get("geometric_augs"), bool):
        augment = block.pop("geometric_augs")
        block |= {"use_hflip": augment, "use_rot": augment}
    if isinstance(block.get("cache_data"), bool) and block.pop("cache_data"):
        block.setdefault("cache", "ram")
    kind = _block(block, "io_backend").get("type")
    roots = [str(block.get(key)) for key in ("dataroot_lq", "dataroot_gt")]
    lmdb = all(root.rstrip("/").endswith(".lmdb") for root in roots)
    if kind == ("lmdb" if lmdb else "disk"):
        del block["io_backend"]


def _translate_training(options: dict[str, Any]) -> None:
    train = _block(options, "train")
    if isinstance(train.get("use_grad_clip"), bool) and train.pop("use_grad_clip"):
        train.setdefault("grad_clip", CLIP_NORM)
    if isinstance(options.get("use_amp"), bool) and options.pop("use_amp"):
        train.setdefault("precision", "fp16")


def _translate_validation(options: dict[str, Any]) -> None:
    val = _block(options, "val")
    if val.get("rgb2bgr") is True:
        del val["rgb2bgr"]
    if isinstance(val.get("use_image"), bool):
        as_image = val.pop("use_image")
        val.setdefault("protocol", "basicsr" if as_image else "retinexformer")
    if isinstance(val.get("max_minibatch"), int):
        del val["max_minibatch"]
    if "val" in _datasets(options):
        options["val"] = {"select_on_test": True, **val}


def _drop_fixed(network: dict[str, Any]) -> None:
    if network.get("type") not in registered(ARCH_REGISTRY):
        return
    taken = inspect.signature(lookup(ARCH_REGISTRY, network["type"])).parameters
    for key, value in FIXED.items():
        if network.get(key) == value and key not in taken:
            del network[key]


def _notes(options: dict[str, Any]) -> list[str]:
    notes = []
    if _block(options, "network_g").get("type") == NETWORK:
        notes.append(
            f"network_g.type is {NETWORK}, which DED-Net's published option files name too; to "
            f"train DED-Net set it to DEDNet"
        )
    wandb = _block(_block(options, "logger"), "wandb")
    if wandb.get("project") and find_spec("wandb") is None:
        wandb["project"] = None
        notes.append("logger.wandb has no effect: wandb is not installed; TensorBoard logs the run")
    return notes
