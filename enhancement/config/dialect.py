"""Option files of Retinexformer and DED-Net for paired folders, read as they stand.

| theirs | ours |
| --- | --- |
| `model_type: ImageCleanModel` | `EnhancementModel` |
| dataset `type: Dataset_PairedImage` | `PairedDataset` |
| `geometric_augs` | `use_hflip` and `use_rot` |
| `io_backend` disk or lmdb | told by the dataroot's name |
| `train.use_grad_clip` | `train.grad_clip: 0.01`, the norm that their code clips to |
| `val.rgb2bgr: true` | nothing: files are always written in the right colours |
| `val.use_image` | `val.protocol`: `basicsr` (8 bits) where true, else `retinexformer` (float) |
| `val.max_minibatch` | nothing: images are validated one at a time |
| `network_g.in_channels`, `out_channels` of 3 | nothing: every network of ours is RGB to RGB |
| a frequency such as `1e3` | the whole number |

`gt_sizes`, `mini_batch_sizes`, `iters`, `filename_tmpl`, `use_shuffle`, `mixing_augs`,
`window_size`, `wandb` and `dist_params` are keys of our own schema. What is neither listed nor in
the schema is left where it is, for the check to refuse by name. Their files choose checkpoints on
the test set: `val.select_on_test` is set, and so stamped on every score.
"""

from __future__ import annotations

from typing import Any

MODEL, DATASET = "ImageCleanModel", "Dataset_PairedImage"
CLIP_NORM = 0.01
FREQUENCIES = (("val", "val_freq"), ("logger", "print_freq"), ("logger", "save_checkpoint_freq"),
               ("train", "total_iter"))  # fmt: skip


def _block(options: Any, key: str) -> dict[str, Any]:
    block = options.get(key) if isinstance(options, dict) else None
    return block if isinstance(block, dict) else {}


def is_dialect(options: dict[str, Any]) -> bool:
    """Whether a file names their model or their dataset."""
    sets = _block(options, "datasets").values()
    types = [block.get("type") for block in sets if isinstance(block, dict)]
    return options.get("model_type") == MODEL or DATASET in types


def translate(options: dict[str, Any]) -> None:
    """Put options of the dialect into our own words, in place."""
    if options.get("model_type") == MODEL:
        options["model_type"] = "EnhancementModel"
    for block in _block(options, "datasets").values():
        if isinstance(block, dict) and block.get("type") == DATASET:
            _translate_dataset(block)
    train, val = _block(options, "train"), _block(options, "val")
    if isinstance(train.get("use_grad_clip"), bool) and train.pop("use_grad_clip"):
        train.setdefault("grad_clip", CLIP_NORM)
    if val.get("rgb2bgr") is True:
        del val["rgb2bgr"]
    if isinstance(val.get("use_image"), bool):
        val.setdefault("protocol", "basicsr" if val.pop("use_image") else "retinexformer")
        val.pop("use_image", None)
    if isinstance(val.get("max_minibatch"), int):
        del val["max_minibatch"]
    if "val" in _block(options, "datasets"):
        options["val"] = {"select_on_test": True, **val}
    network = _block(options, "network_g")
    for key in ("in_channels", "out_channels"):
        if network.get("type") in ("RetinexFormer", "DEDNet") and network.get(key) == 3:
            del network[key]
    for section, key in FREQUENCIES:
        value = _block(options, section).get(key)
        if isinstance(value, float) and value.is_integer():
            options[section][key] = int(value)


def _translate_dataset(block: dict[str, Any]) -> None:
    block["type"] = "PairedDataset"
    if isinstance(block.get("geometric_augs"), bool):
        augment = block.pop("geometric_augs")
        block |= {"use_hflip": augment, "use_rot": augment}
    kind = _block(block, "io_backend").get("type")
    roots = [str(block.get(key)) for key in ("dataroot_lq", "dataroot_gt")]
    lmdb = all(root.rstrip("/").endswith(".lmdb") for root in roots)
    if kind == ("lmdb" if lmdb else "disk"):
        del block["io_backend"]
