"""Option files of Retinexformer and DED-Net as they stand."""

import pytest
from helpers import make_pairs

from enhancement.config.load import load_options
from enhancement.errors import UserError
from enhancement.training import loop as train

PUBLISHED = """
name: Enhancement_RetinexFormer_LOL_v1
model_type: ImageCleanModel
scale: 1
num_gpu: 1
manual_seed: 100
datasets:
  train:
    name: TrainSet
    type: Dataset_PairedImage
    dataroot_gt: lol/Train/target
    dataroot_lq: lol/Train/input
    geometric_augs: true
    filename_tmpl: '{}'
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
    dataroot_gt: lol/Test/target
    dataroot_lq: lol/Test/input
    io_backend:
      type: disk
network_g:
  type: RetinexFormer
  in_channels: 3
  out_channels: 3
  n_feat: 8
  stage: 1
  num_blocks: [1, 1, 1]
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
    project: ~
    resume_id: ~
dist_params:
  backend: nccl
  port: 29500
"""


@pytest.fixture
def published(in_tmp):
    """Writes the file with text replaced; returns its path."""
    make_pairs(in_tmp / "lol", "Train/input", "Train/target")
    make_pairs(in_tmp / "lol", "Test/input", "Test/target", count=2)

    def write(*replacements):
        text = PUBLISHED
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (in_tmp / "published.yml").write_text(text)
        return "published.yml"

    return write


def test_every_key_is_understood(published):
    options = load_options(published())
    assert options["model_type"] == "EnhancementModel"
    assert options["train"]["grad_clip"] == 0.01
    assert options["train"]["total_iter"] == 4
    assert options["val"]["protocol"] == "retinexformer"
    assert options["val"]["window_size"] == 4
    assert options["val"]["val_freq"] == 2
    train_set = options["datasets"]["train"]
    assert (train_set["use_hflip"], train_set["use_rot"]) == (True, True)
    assert options["network_g"] == {
        "type": "RetinexFormer", "n_feat": 8, "stage": 1, "num_blocks": [1, 1, 1]
    }  # fmt: skip


def test_it_trains_and_stamps_the_choice_on_the_test_set(published, capsys):
    from enhancement.testing import command as tester

    assert train.run_training(train.parse(["--opt", published()])) == 0
    best = "experiments/Enhancement_RetinexFormer_LOL_v1/models/net_g_best.pth"
    tester.test(tester.parse(["--opt", "published.yml", "--weights", best, "--dataset", "ValSet"]))
    out = capsys.readouterr().out
    assert "Protocol retinexformer, dataset ValSet" in out
    assert "ON THE TEST SET" in out
    assert "prefetch_mode has no effect here" in out


def test_use_image_scores_rounded_images(published):
    assert load_options(published(("use_image: false", "use_image: true")))["val"]["protocol"] == (
        "basicsr"
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("rgb2bgr: true", "rgb2bgr: false", "val.rgb2bgr: unknown key"),
        ("type: disk", "type: memcached", "datasets.train.io_backend: unknown key"),
        ("in_channels: 3", "in_channels: 31", "network_g.in_channels: unknown key"),
        ("iters: [2, 1]", "iters: [2]", "lists of one length with iters, got gt_sizes"),
        ("mixup_beta", "mixup_bet", "train.mixing_augs.mixup_bet: unknown key; did you mean"),
        ("project: ~", "project: low_light", "logger.wandb: is not installed: pip install wandb"),
        ("port: 29500", "port: 99999999", "dist_params.port: expected less than"),
        ("'{}'", "'x'", "filename_tmpl must hold {} once, but is 'x'"),
        ("geometric_augs", "geometric_aug", "datasets.train.geometric_aug: unknown key"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(published, old, new, text):
    with pytest.raises(UserError) as caught:
        load_options(published((old, new)))
    assert text in str(caught.value)


def test_file_names_by_template(published, in_tmp):
    for path in (in_tmp / "lol/Train/input").iterdir():
        path.rename(path.with_stem(path.stem + "x1"))
    assert load_options(published(("'{}'", "'{}x1'")))
