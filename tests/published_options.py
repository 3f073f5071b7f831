"""The parts of option files in the form that Retinexformer's family publishes, small or whole."""

from typing import Any

import yaml

HEAD = """
name: {name}
model_type: ImageCleanModel
scale: 1
num_gpu: 1
manual_seed: 100
"""

PAIRED = """
datasets:
  train:
    name: TrainSet
    type: Dataset_PairedImage
    dataroot_gt: {root}/{train_gt}
    dataroot_lq: {root}/{train_lq}
    geometric_augs: true
    filename_tmpl: '{{}}'
    io_backend:
      type: disk
    use_shuffle: true
    num_worker_per_gpu: 0
    batch_size_per_gpu: 2
    mini_batch_sizes: [2, 1]
    iters: [2, 1]
    gt_size: 24
    gt_sizes: [16, 24]
    dataset_enlarge_ratio: 1
    prefetch_mode: ~
  val:
    name: ValSet
    type: Dataset_PairedImage
    dataroot_gt: {root}/{test_gt}
    dataroot_lq: {root}/{test_lq}
    io_backend:
      type: disk
"""

# SID and SMID; SDSD adds testing_dir to both sets
FRAMES = """
datasets:
  train:
    name: TrainSet
    type: {kind}
    random_reverse: false
    border_mode: false
    dataroot_gt: {root}/long
    dataroot_lq: {root}/short
    train_size: [960, 512]
    cache_keys: ~
    cache_data: true
    padding: new_info
    filename_tmpl: '{{}}'
    io_backend:
      type: disk
    N_frames: 5
    use_flip: true
    use_rot: true
    color: RGB
    use_shuffle: true
    num_worker_per_gpu: 8
    batch_size_per_gpu: 4
    mini_batch_sizes: [8]
    iters: [300000]
    gt_size: 256
    gt_sizes: [256]
    dataset_enlarge_ratio: 1
    prefetch_mode: ~
  val:
    name: ValSet
    type: {kind}
    dataroot_gt: {root}/long
    dataroot_lq: {root}/short
    cache_data: true
    N_frames: 5
    padding: new_info
    train_size: [960, 512]
    io_backend:
      type: disk
"""

RETINEXFORMER = """
network_g:
  type: RetinexFormer
  in_channels: 3
  out_channels: 3
  n_feat: 8
  stage: 1
  num_blocks: [1, 1, 1]
"""

WTNET = """
network_g:
  type: WTNet
  inp_channels: 3
  out_channels: 3
  dim: 40
  num_blocks: [4, 7, 7, 8]
  num_refinement_blocks: 2
  heads: [1, 1, 1, 1]
  ffn_expansion_factor: 2.66
  bias: False
  LayerNorm_type: WithBias
  dual_pixel_task: False
"""

REST = """
path:
  pretrain_network_g: ~
  strict_load_g: true
  resume_state: ~
train:
  total_iter: !!float 4
  warmup_iter: -1
  use_grad_clip: true
  scheduler:
    type: CosineAnnealingRestartCyclicLR
    periods: [46000, 104000]
    restart_weights: [1, 1]
    eta_mins: [0.0003, 0.000001]
  mixing_augs:
    mixup: true
    mixup_beta: 1.2
    use_identity: true
  optim_g:
    type: Adam
    lr: !!float 2e-4
    betas: [0.9, 0.999]
  pixel_opt:
    type: L1Loss
    loss_weight: 1
    reduction: mean
val:
  window_size: 4
  val_freq: !!float 2e0
  save_img: false
  rgb2bgr: true
  use_image: false
  max_minibatch: 8
  metrics:
    psnr:
      type: calculate_psnr
      crop_border: 0
      test_y_channel: false
logger:
  print_freq: 1
  save_checkpoint_freq: !!float 2e0
  use_tb_logger: true
  wandb:
    project: low_light
    resume_id: ~
dist_params:
  backend: nccl
  port: 29500
"""

OTHERS = {  # what differs from LOL-v1: name, folders and text
    "FiveK": {
        "train_gt": "train/target",
        "train_lq": "train/input",
        "test_gt": "test/target",
        "test_lq": "test/input",
    },
    "NTIRE": {
        "train_gt": "train/target",
        "train_lq": "train/input",
        "test_gt": "mini_val/target",
        "test_lq": "mini_val/input",
    },
    "WTNet_KC": {
        "train_gt": "our485/high",
        "train_lq": "our485/low",
        "test_gt": "eval15/high",
        "test_lq": "eval15/low",
    },
    "WTNet_RLE": {
        "train_gt": "training/high",
        "train_lq": "training/low",
        "test_gt": "evaluation/high",
        "test_lq": "evaluation/low",
    },
    "WTNet_CEC": {
        "train_gt": "train/clean",
        "train_lq": "train/corrupted",
        "test_gt": "test/clean",
        "test_lq": "test/corrupted",
    },
    "WTNet_Endo4IE": {
        "train_gt": "ALL/train/Norm",
        "train_lq": "ALL/train/UnNorm",
        "test_gt": "ALL/test/Norm",
        "test_lq": "ALL/test/UnNorm",
    },
}

# the values of Retinexformer's published files of paired folders: where gt and lq lie, the side and
# number of the crops, iterations, the schedule's first cycle, validation and saving every so many,
# GPUs, and more keys of the first level
AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "LOL_v1": {"root": "LOL_v1", "sides": ("Train/{}", "Test/{}"), "names": ("target", "input")},
    "LOL_v2_real": {
        "root": "LOLv2/Real_captured",
        "sides": ("Train/{}", "Test/{}"),
        "names": ("Normal", "Low"),
        "size": 256,
    },
    "LOL_v2_synthetic": {
        "root": "LOLv2/Synthetic",
        "sides": ("Train/{}", "Test/{}"),
        "names": ("Normal", "Low"),
    },
    "FiveK": {
        "root": "FiveK_sRGB/split_InputAsShotZeroed",
        "sides": ("train/{}", "test/{}"),
        "names": ("target", "input"),
        "size": 280,
        "total": 300_000,
        "periods": [92_000, 208_000],
        "every": (4e3, 4e3),
    },
    "NTIRE": {
        "root": "NTIRE",
        "sides": ("train/{}", "mini_val/{}"),
        "names": ("target", "input"),
        "size": 2000,
        "batch": 1,
        "every": (3e3, 1.5e3),
        "gpus": 8,
        "more": {"use_amp": True},
    },
}


def as_published(name: str, folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The whole of one of Retinexformer's files below a folder, and what it asks for.

    Returns:
        The options, and the batch and side of its crops, iterations, precision, cycles and
        frequencies.
    """
    given: dict[str, Any] = {
        **{"size": 128, "batch": 8, "total": 150_000, "periods": [46_000, 104_000]},
        **{"every": (1e3, 1e3), "gpus": 1, "more": {}},
        **AS_PUBLISHED[name],
    }
    options: dict[str, Any] = yaml.safe_load(
        HEAD.format(name=f"Enhancement_RetinexFormer_{name}")
        + PAIRED.format(root="", train_gt="", train_lq="", test_gt="", test_lq="")
        + RETINEXFORMER
        + REST
    )
    for key, side in zip(("train", "val"), given["sides"], strict=True):
        gt, lq = (f"{folder}/{given['root']}/{side.format(name)}" for name in given["names"])
        options["datasets"][key] |= {"dataroot_gt": gt, "dataroot_lq": lq}
    options["datasets"]["train"] |= {
        **{"num_worker_per_gpu": 8, "batch_size_per_gpu": given["batch"]},
        **{"mini_batch_sizes": [given["batch"]], "iters": [300_000]},
        **{"gt_size": given["size"], "gt_sizes": [given["size"]]},
    }
    options |= {"num_gpu": given["gpus"], **given["more"]}
    options["network_g"] |= {"n_feat": 40, "stage": 1, "num_blocks": [1, 2, 2]}
    options["train"]["total_iter"] = given["total"]
    options["train"]["scheduler"]["periods"] = given["periods"]
    options["val"]["val_freq"], options["logger"]["save_checkpoint_freq"] = given["every"]
    options["logger"]["print_freq"] = 500
    return options, {
        "stage": (given["batch"], given["size"], 300_000),
        "total_iter": given["total"],
        "precision": "fp16" if "use_amp" in given["more"] else "fp32",
        "periods": given["periods"],
        "val_freq": given["every"][0],
        "save_checkpoint_freq": given["every"][1],
    }
