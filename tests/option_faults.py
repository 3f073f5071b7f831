"""Changes to `helpers.tiny_options` that are faults, and what is said of each."""

from typing import Any


def mixture(part):
    """A training set of one part."""
    left_out = dict.fromkeys(("layout", "split", "dataroot"))
    return {"datasets": {"train": {"type": "MixedDataset", "parts": {"a": part}, **left_out}}}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"nam": "x"}, "nam: unknown key; did you mean 'name'?"),
    ({"name": None}, "name: missing; expected a text"),
    ({"name": "a/b"}, "name: names a folder"),
    ({"model_type": "EnhancemntModel"}, "model_type: unknown model 'EnhancemntModel'; did you"),
    ({"num_gpu": "many"}, "num_gpu: expected"),
    ({"scale": 4}, "scale: expected 1, but got 4"),
    ({"train": {"total_iter": "10"}}, "train.total_iter: expected a valid integer, but got '10'"),
    ({"train": {"total_iter": 0}}, "train.total_iter: expected greater than 0, but got 0"),
    ({"train": {"total_iter": None}}, "train.total_iter: missing; expected a whole number"),
    ({"train": {"ema_decay": 1.5}}, "train.ema_decay: expected less than 1, but got 1.5"),
    ({"train": {"precision": "fp8"}}, "train.precision: expected 'fp32', 'bf16' or 'fp16'"),
    ({"train": {"accumulate": 3}}, "train.accumulate: expected a divisor of the batch size 2, but"),
    ({"train": {"ema": 0.9}}, "train.ema: unknown key; did you mean 'ema_decay'?"),
    ({"train": {"pixel_opt": None}}, "train: no loss; expected a key such as pixel_opt"),
    ({"train": {"pixel_opt": {"type": "L2Loss"}}}, "train.pixel_opt.type: unknown loss 'L2Loss'"),
    (
        {"train": {"pixel_opt": {"weight": 1}}},
        "train.pixel_opt.weight: unknown key; did you mean 'loss_weight'?",
    ),
    ({"train": {"tv_opt": {"type": "WeightedTVLoss"}}}, "WeightedTVLoss does not compare output"),
    (
        {"train": {"vgg_opt": {"type": "PerceptualLoss", "layer_weights": {}, "criterion": "mse"}}},
        "train.vgg_opt.criterion: expected 'l1', 'l2' or 'fro', but got 'mse'",
    ),
    (
        {"network_g": {"type": "MobileIE"}, "train": {"accumulate": 2}},
        "network_g: expected batches of 2 images or more at once for this network, but got 1",
    ),
    ({"network_g": {"type": "FECNet", "dim": 0}}, "Expected `dim` to be at least 1, but got 0"),
    (
        {"train": {"ssim_opt": {"type": "SSIMMAELoss", "alpha": 2}}},
        "Expected `alpha` to be in [0, 1]",
    ),
    (
        {"train": {"map_opt": {"type": "IlluminationSmoothnessLoss"}}},
        "train.map_opt.type: IlluminationSmoothnessLoss needs `model_type: NamedLossModel`",
    ),
    (
        {"model_type": "IlluminationModel", "network_g": {"type": "HDRNet"}},
        "network_g: HDRNet as it is here gives no illumination, which IlluminationModel",
    ),
    ({"network_g": {"type": "HDRNet", "mode": "x"}}, "network_g.mode: expected 'affine' or 'illu"),
    ({"train": {"optim_g": {"type": "Adm"}}}, "unknown type 'Adm'; did you mean 'Adam'?"),
    ({"train": {"optim_g": {"lr": "fast"}}}, "train.optim_g.lr: expected a valid number"),
    ({"train": {"optim_g": {"lr": -1}}}, "train.optim_g: Invalid learning rate: -1"),
    ({"train": {"pixel_opt": {"loss_weight": 0}}}, "train: every loss has the weight 0; there is"),
    (
        {"train": {"pixel_opt": {"type": "CharbonnierLoss", "eps": -1}}},
        "train.pixel_opt.eps: expected greater than 0, but got -1",
    ),
    (
        {"train": {"scheduler": {"type": "ConstantLR", "factor": 0, "total_iters": 99}}},
        "train.scheduler: ",
    ),
    (
        {"train": {"vgg_opt": {"type": "PerceptualLoss", "layer_weights": {"conv5_4": 0}}}},
        "train.vgg_opt.layer_weights: every weight is 0; there is nothing to train",
    ),
    ({"train": {"optim_g": {"lr": 0.0}}}, "train.optim_g: an update leaves the weights as they"),
    (
        {"train": {"optim_g": {"maximize": True}}},
        "train.optim_g: an update moves a weight whose gradient is 1 from 0 to 0.001; expected",
    ),
    (
        {"train": {"pixel_opt": {"loss_weight": -1}}},
        "train.pixel_opt.loss_weight: expected greater than or equal to 0, but got -1",
    ),
    (
        {"train": {"vgg_opt": {"type": "PerceptualLoss", "layer_weights": {"conv5_4": -1}}}},
        "train.vgg_opt.layer_weights.conv5_4: expected greater than or equal to 0, but got -1",
    ),
    ({"train": {"optim_g": {"beta": 1}}}, "train.optim_g.beta: unknown key; did you mean 'betas'?"),
    (
        {"train": {"optim_g": {"betas": [0.9]}}},
        "train.optim_g.betas: expected an entry at [1], but got [0.9]",
    ),
    (
        {"train": {"optim_g": {"betas": [0.9, 0.99, 0.999]}}},
        "train.optim_g.betas: expected fewer entries, but got [0.9, 0.99, 0.999]",
    ),
    (
        {"train": {"scheduler": {"type": "CosineAnnealingLR", "etamin": 0}}},
        "train.scheduler.etamin: unknown key; did you mean 'eta_min'?",
    ),
    ({"train": {"scheduler": {"type": "StepLR"}}}, "train.scheduler.step_size: missing"),
    (
        {"train": {"scheduler": {"type": "StepLR", "step_size": -5}}},
        "train.scheduler.step_size: expected greater than 0, but got -5",
    ),
    (
        {"train": {"scheduler": {"type": "CosineAnnealingLR", "T_max": 0}}},
        "train.scheduler.T_max: expected greater than 0, but got 0",
    ),
    ({"val": {"protocol": "psnr"}}, "val.protocol: expected 'basicsr', 'retinexformer'"),
    ({"val": {"metrics": {"a": {"type": "psnr"}}}}, "val.metrics.a.type: unknown metric 'psnr'"),
    (
        {"val": {"metrics": {"a": {"type": "calculate_psnr", "crop": 4}}}},
        "val.metrics.a.crop: unknown key; did you mean 'crop_border'?",
    ),
    ({"logger": {"print_frequency": 1}}, "logger.print_frequency: unknown key; did you mean"),
    ({"path": {"pretrain_network_g": "a.pth"}}, "path.pretrain_network_g: a.pth: no such file"),
    ({"path": {"init_network_g": "w.pth"}}, "init_network_g: AODNet takes no initial weights from"),
    (
        {"path": {"pretrain_network_g": "vidio"}},
        "path.pretrain_network_g: vidio: no such file, and no weights of that name come with this "
        "package; did you mean 'video'?",
    ),
    ({"path": {"pretrain_network_g": "w.pth"}}, "w.pth: does not fit: lacks 10 of the network's"),
    ({"path": {"pretrain_network_g": "text.pth"}}, "text.pth: "),
    ({"network_g": {"type": "AODNett"}}, "network_g.type: unknown arch 'AODNett'; did you mean"),
    ({"network_g": {"width": 1}}, "network_g.width: unknown key"),
    (
        {"network_g": {"type": "HDRNet", "grid_depth": "8"}},
        "network_g.grid_depth: expected a valid integer, but got '8'",
    ),
    (
        {"network_g": {"type": "HDRNet", "low_resolution": 100}},
        "network_g: Expected `low_resolution` to be a multiple of 64, but got 100.",
    ),
    (
        {"network_g": {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "upscal": 1}},
        "network_g.upscal: unknown key; did you mean 'upscale'?",
    ),
    ({"network_g": {"type": "EDSR"}}, "network_g.num_in_ch: missing"),
    ({"datasets": {"train": None}}, "datasets.train: missing; expected the training set"),
    ({"datasets": {"trian": {}}}, "datasets.trian: unknown set; did you mean 'train'?"),
    ({"datasets": {"train": {"type": "Paired"}}}, "unknown dataset 'Paired'; did you mean"),
    (
        {"datasets": {"train": {"gt_sise": 8}}},
        "datasets.train.gt_sise: unknown key; did you mean 'gt_size'?",
    ),
    ({"datasets": {"train": {"gt_size": "x"}}}, "datasets.train.gt_size: expected"),
    ({"datasets": {"train": {"gt_size": -4}}}, "gt_size and resize must be above 0"),
    ({"datasets": {"train": {"layout": "LOL_v3"}}}, "datasets.train.layout: expected 'LOL_v1'"),
    ({"datasets": {"train": {"dataroot": "away"}}}, "datasets.train: away: expected {train/low,"),
    ({"datasets": {"train": {"val_fraction": 1.0}}}, "leave something to train on"),
    (
        mixture({"type": "PairedDatset"}),
        "datasets.train.parts.a.type: unknown dataset 'PairedDatset'; did you mean",
    ),
    (
        mixture({"type": "MixedDataset", "parts": {}}),
        "datasets.train.parts.a.type: MixedDataset cannot be a part of a mixture",
    ),
    (
        mixture({"type": "PairedDataset", "layout": "high_low", "repet": 2}),
        "datasets.train.parts.a.repet: unknown key; did you mean 'repeat'?",
    ),
    (
        mixture({"type": "PairedDataset", "layout": "high_low", "repeat": 10**9}),
        "datasets.train.parts.a.repeat: expected less than or equal to 1000, but got 1000000000",
    ),
    (
        mixture({"type": "SynthesisDataset", "dataroot_gt": "x", "degradation": {"type": "Fog"}}),
        "datasets.train.parts.a.degradation.type: unknown type 'Fog'; valid: Haze, LowLight",
    ),
    (
        mixture({"type": "PairedDataset", "layout": "high_low", "dataroot": "away"}),
        "datasets.train.parts.a: away: expected {train/low,",
    ),
    (
        {
            "datasets": {
                "train": {
                    "type": "SynthesisDataset",
                    "dataroot_gt": "datasets/high_low",
                    "layout": None,
                    "split": None,
                    "degradation": {"type": "Fog"},
                }
            }
        },
        "datasets.train.degradation.type: unknown type 'Fog'; valid: Haze, LowLight",
    ),
    (
        {
            "datasets": {
                "train": {
                    "type": "SynthesisDataset",
                    "dataroot_gt": "datasets/high_low",
                    "layout": None,
                    "split": None,
                    "degradation": {"type": "Haze", "airlght": [0, 1]},
                }
            }
        },
        "datasets.train.degradation.airlght: unknown key; did you mean 'airlight'?",
    ),
    (
        {
            "datasets": {
                "train": {
                    "type": "PairedImageDataset",
                    "layout": None,
                    "split": None,
                    "val_fraction": None,
                    "dataroot_gtt": "x",
                }
            }
        },
        "datasets.train.dataroot_gtt: unknown key; did you mean 'dataroot_gt'?",
    ),
    (
        {"datasets": {"train": {"type": "SynthesisDataset", "layout": None, "split": None}}},
        "datasets.train.dataroot_gt: missing; expected a text",
    ),
    (
        {
            "datasets": {
                "train": {"test_fraction": 0.25},
                "test": {"split": "train", "test_fraction": 0.5, "subset": "test"},
            }
        },
        "val_fraction, test_fraction and test_fold must be those of datasets.",
    ),
    (
        {
            "datasets": {
                "train": {"val_fraction": None},
                "val": {
                    "type": "PairedDataset",
                    "dataroot_lq": "datasets/high_low/train/low/",
                    "dataroot_gt": "datasets/high_low/train/high/",
                    "val_fraction": 0.25,
                    "subset": "val",
                },
            }
        },
        "datasets.train: val_fraction, test_fraction and test_fold must be those of datasets.val",
    ),
    ({"datasets": {"train": {"include": ["x"]}}}, "no image 'x'"),
    ({"datasets": {"train": {"phase": "val"}}}, "datasets.train.phase: expected 'train'"),
    ({"datasets": {"test": {"batch_size_per_gpu": 2}}}, "has no effect: images are tested one"),
    (
        {
            "datasets": {
                "val": {
                    "type": "PairedDataset",
                    "dataroot_lq": "datasets/high_low/test/low",
                    "dataroot_gt": "datasets/high_low/test/high",
                }
            }
        },
        "datasets.val: is a test set, and checkpoints are chosen on it",
    ),
    (
        {
            "datasets": {
                "train": {
                    "type": "SynthesisDataset",
                    "dataroot_gt": "datasets/high_low",
                    "layout": None,
                    "split": None,
                    "cache": "disk",
                }
            }
        },
        "datasets.train.cache: expected 'none' or 'ram', but got 'disk'",
    ),
    ({"train": {"optim_g": {"type": None, "lr": None}}}, "train.optim_g.type: missing"),
    (
        {"val": {"metrics": {"a": {"type": "calculate_psnr", "crop_border": "four"}}}},
        "val.metrics.a.crop_border: expected",
    ),
    (
        {
            "datasets": {
                "val": {
                    "type": "PairedDataset",
                    "layout": "high_low",
                    "split": "train",
                    "include": 7,
                }
            }
        },
        "datasets.val.include: expected",
    ),
    (
        {
            "datasets": {
                "val": {
                    "type": "PairedDataset",
                    "layout": "high_low",
                    "split": "test",
                    "include": ["0.png"],
                }
            }
        },
        "datasets.val: is a test set",
    ),
    ({"manual_seed": 5_000_000_000}, "manual_seed: expected less than 4294967296"),
    ({"train": {"pixel_opt": {"reduction": "none"}}}, "pixel_opt.reduction: expected 'mean' or"),
    ({"val": {"metrics": {"a": {"type": "calculate_niqe"}}}}, "does not compare two 8-bit images"),
    ({"path": {"pretrain_network_g": "w.pth", "strict_load_g": False}}, "shares no entry with"),
    (
        {"datasets": {"val": {"type": "PairedDataset", "layout": "high_low", "split": "test"}}},
        "datasets.val: is a test set, and checkpoints are chosen on it",
    ),
    ({"network_g": []}, "network_g: expected a block, but got []"),
    ({"datasets": {"train": {"name": 3}}}, "datasets.train.name: expected a valid string, but"),
    (
        {"datasets": {"train": {"batch_size_per_gp": 2}}},
        "batch_size_per_gp: unknown key; did you mean 'batch_size_per_gpu'?",
    ),
    ({"datasets": {"train": {"gt_size": [8]}}}, "an entry at [1], but got [8]"),
    ({"train": {"scheduler": {"type": "MultiStepLR"}}}, "milestones: missing; expected a list"),
    ({"train": {"losses": {}}}, "train.losses: unknown key"),
    ({"train": {"gan_opt": {"type": "GANLoss"}}}, "GANLoss does not compare output"),
    (
        {"val": {"metrics": {"a": {"type": "calculate_psnr", "bettr": "lower"}}}},
        "val.metrics.a.bettr: unknown key; did you mean 'better'?",
    ),
    (
        {"network_g": {"type": "MSRResNet", "num_block": -2, "upscale": 1}},
        "network_g: cannot be built: 'MSRResNet' object has no attribute 'upconv1'",
    ),
    (
        {"train": {"vgg_opt": {"type": "PerceptualLoss", "layer_weights": {}}}},
        "train.vgg_opt.layer_weights: expected an entry, but got {}",
    ),
    (
        {"train": {"vgg_opt": {"type": "PerceptualLoss", "layer_weights": {"conv9_9": 1}}}},
        "train.vgg_opt.layer_weights.conv9_9: vgg19 has no such layer; did you mean",
    ),
    (
        {"train": {"vgg_opt": {"type": "PerceptualLoss", "layer_weights": {"conv1_2": "x"}}}},
        "train.vgg_opt.layer_weights.conv1_2: expected a valid number, but got 'x'",
    ),
    (
        {
            "train": {
                "vgg_opt": {
                    "type": "PerceptualLoss",
                    "layer_weights": {"conv1_2": 1},
                    "perceptual_weight": 0,
                }
            }
        },
        "train.vgg_opt.perceptual_weight: or style_weight must be above 0",
    ),
    ({"train": {"total_opt": {"type": "L1Loss"}}}, "train.total_opt: cannot be the name of a loss"),
    ({"train": {"warmup_iter": -5}}, "train.warmup_iter: expected"),
    (
        {"train": {"scheduler": {"type": "ExponentialLR", "gamma": -1}}},
        "train.scheduler: the rate of iteration 1 is -0.001",
    ),
    (
        {"train": {"scheduler": {"type": "MultiStepLR", "milestones": ["1"]}}},
        "train.scheduler.milestones: expected a valid integer at [0], but got ['1']",
    ),
    (
        {
            "train": {
                "scheduler": {
                    "type": "CosineAnnealingRestartLR",
                    "periods": [1],
                    "restart_weights": [1],
                }
            }
        },
        "train.scheduler: its periods end at 1, but total_iter is 2",
    ),
    (
        {
            "val": {
                "metrics": {
                    "a": {"type": "calculate_psnr", "crop_border": 0} | {"input_order": "CHW"}
                }
            }
        },
        "val.metrics.a.input_order: expected 'HWC', but got 'CHW'",
    ),
    (
        {"datasets": {"train": {"include": []}}},
        "datasets.train: datasets/high_low/train/high: include: expected names, but got none",
    ),
    (
        {"datasets": {"train": {"type": "MixedDataset", "parts": [1]}}},
        "datasets.train.parts: expected",
    ),
    (
        {
            "datasets": {
                "val": {"type": "PairedDataset", "layout": "high_low", "split": "train"},
                "train": {"val_fraction": None},
            }
        },
        "datasets.val: holds 4 images that datasets.train trains on; name others",
    ),
    (
        {
            "network_g": {"type": "IAT"},
            "datasets": {"train": {"gt_size": 1, "batch_size_per_gpu": 1}},
        },
        "network_g: one image of 1 leaves a single value to normalise over",
    ),
    (
        {"network_g": {"type": "SegmentationNet", "encoder": "swin_tiny_patch4_window7_224"}},
        "network_g: Expected `encoder` to be a timm network with features, but got 'swin_tiny_",
    ),
]
