"""Runs: every network on every dataset, losses, schedules, EMA, resuming, stopping."""

import math
import os
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, make_pairs, picture
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from enhancement import checkpoint, train
from enhancement.compat import ARCH_REGISTRY, MODEL_REGISTRY, lookup, scheduler_types
from enhancement.data.images import write_image
from enhancement.errors import UserError
from enhancement.models.mixup import Mixup
from enhancement.options import load_options, prepare_run
from enhancement.run_folder import locked

STAGES = ("1_iglfm", "2_blgm", "3_wsgm", "segmentation")  # tests/test_capsule.py
MATRIX = sorted(
    p.relative_to(ROOT / "options")
    for p in (ROOT / "options").glob("*/*.yml")
    if p.parent.name != "base" and not (p.parent.name == "capsule" and p.stem in STAGES)
)  # fmt: skip
LOL = {
    "high_low": ("train/low", "train/high", "test/low", "test/high"),
    "LOLv1": ("Train/input", "Train/target", "Test/input", "Test/target"),
    "LOLv2/Real_captured": ("Train/Low", "Train/Normal", "Test/Low", "Test/Normal"),
    "LOLv2/Synthetic": ("Train/Low", "Train/Normal", "Test/Low", "Test/Normal"),
    "KCL": ("training/low", "training/high", "evaluation/low", "evaluation/high"),
    "RLE": ("training/low", "training/high", "evaluation/low", "evaluation/high"),
}


def run(*arguments):
    return train.run_training(train.parse([str(a) for a in arguments]))


def weights(name="tiny", label="latest"):
    return checkpoint.read_weights(f"experiments/{name}/models/net_g_{label}.pth", "params")[0]


def events(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0})
    return accumulator.Reload()


@pytest.fixture(scope="module")
def made_data(tmp_path_factory):
    """Tiny made images in every dataset's place."""
    root = tmp_path_factory.mktemp("made")
    for folder, sides in LOL.items():
        make_pairs(root / folder, *sides[:2], count=10)
        make_pairs(root / folder, *sides[2:], count=2)
    for i in range(10):
        for folder in ("KvasirSEG", "surgical", "WCEBleedGen/bleeding"):
            write_image(root / f"{folder}/images/{i}.jpg", picture(i))
        write_image(root / f"WCEBleedGen/bleeding/masks/{i}.png", picture(i) // 128 * 255)
    for folder in ("KCL", "RLE"):
        make_pairs(root / folder, "val/low", "val/high", count=2)
    (root / "weights").mkdir()
    torch.save(lookup(ARCH_REGISTRY, "AODNet")().state_dict(), root / "weights/aodnet_dehazer.pth")
    return root


@pytest.mark.parametrize("path", MATRIX, ids=str)
def test_every_option_file_trains(path, made_data, in_tmp, monkeypatch):
    monkeypatch.setenv("ENHANCEMENT_DATA", str(made_data))
    small = ["datasets:train:batch_size_per_gpu=2", "train:total_iter=2", "val:val_freq=2",
             "datasets:train:gt_size=32", "name=x"]  # fmt: skip
    if path.stem in ("iglfm", "dual_generalization"):
        small += ["network_g:width=16", "network_g:groups=1", "network_g:blocks=1"]
    assert run("--opt", ROOT / "options" / path, "--force_yml", *small) == 0
    state, meta = checkpoint.read_weights("experiments/x/models/net_g_best.pth")
    assert all(value.isfinite().all() for value in state.values())
    assert meta["best"]["iteration"] == 2
    assert meta["best"]["dataset"].endswith("_val")


@pytest.mark.parametrize(
    "network",
    [
        {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1,
         "upscale": 1},
        {"type": "SwinIR", "img_size": 16, "embed_dim": 12, "depths": [2], "num_heads": [2],
         "window_size": 4, "mlp_ratio": 2, "upscale": 1, "upsampler": ""},
    ],
    ids=["EDSR", "SwinIR"],
)  # fmt: skip
def test_basicsrs_networks_train_by_the_same_command(tiny, network):
    gt_size = 30  # not a multiple of SwinIR's window
    options = tiny(network_g=network, datasets={"train": {"gt_size": gt_size}})
    assert run("--opt", options) == 0
    assert weights()


def test_basicsrs_dataset_and_model_work_too(tiny, in_tmp):
    folder = "datasets/high_low/train"
    train_set = {
        "type": "PairedImageDataset", "dataroot_lq": f"{folder}/low", "use_hflip": True,
        "dataroot_gt": f"{folder}/high", "io_backend": {"type": "disk"}, "use_rot": True,
        "layout": None, "split": None, "val_fraction": None,
    }  # fmt: skip
    assert run("--opt", tiny(model_type="SRModel", datasets={"train": train_set})) == 0
    assert list(in_tmp.glob("experiments/tiny/models/net_g_*.pth"))


LOSSES = {
    "L1Loss": {},
    "MSELoss": {},
    "CharbonnierLoss": {"eps": 1e-6},
    "SSIMLoss": {},
    "SSIMMAELoss": {"alpha": 0.5},
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_goes_down(tiny, in_tmp, name):
    run(
        "--opt", tiny(train={"total_iter": 30, "pixel_opt": {"type": name, **LOSSES[name]},
                             "optim_g": {"lr": 0.02}}, val={"val_freq": 30},
                      logger={"save_checkpoint_freq": 30},
                      datasets={"train": {"gt_size": 48, "batch_size_per_gpu": 3}}),
    )  # fmt: skip
    curve = [e.value for e in events("experiments/tiny").Scalars("losses/l_pixel")]
    assert sum(curve[-5:]) < 0.9 * sum(curve[:5])


class TestHowItIsComputed:
    NETWORKS = {
        "AODNet": {}, "DEDNet": {"n_feat": 8}, "LNetGIE": {}, "RetinexFormer": {"n_feat": 8},
        "HDRNet": {"low_resolution": 64},
    }  # fmt: skip

    def trained(self, tiny, name, network="AODNet", **train_block):
        run("--opt", tiny(
            name=name, network_g={"type": network, **self.NETWORKS[network]},
            train={"total_iter": 6, "ema_decay": 0.5, **train_block}, val={"val_freq": 6},
        ))  # fmt: skip
        return weights(name)

    def last_score(self, name):
        tag = "metrics/pairs_val/basicsr/psnr"
        return events(f"experiments/{name}").Scalars(tag)[-1].value

    @pytest.mark.parametrize("network", NETWORKS)
    def test_bf16_trains_every_network_to_nearly_the_same(self, tiny, network):
        self.trained(tiny, "plain", network)
        low = self.trained(tiny, "low", network, precision="bf16", channels_last=True)
        assert all(v.dtype == torch.float32 and v.isfinite().all() for v in low.values())
        assert self.last_score("low") == pytest.approx(self.last_score("plain"), abs=0.05)

    def test_fp16_scales_its_losses_and_resumes(self, tiny):
        low = self.trained(tiny, "low", precision="fp16")
        assert all(v.isfinite().all() for v in low.values())
        scaler = checkpoint.read("experiments/low/training_states/latest.state")["scaler"]
        assert scaler["scale"] > 1
        assert run("--opt", "tiny.yml", "--auto_resume") == 0

    @pytest.mark.parametrize("network", NETWORKS)
    def test_accumulated_parts_equal_the_whole_batch(self, tiny, network):
        sgd = {"optim_g": {"type": "SGD", "lr": 0.05, "betas": None}}
        whole = self.trained(tiny, "whole", network, **sgd)
        parts = self.trained(tiny, "parts", network, accumulate=2, **sgd)
        for key, value in whole.items():
            torch.testing.assert_close(parts[key], value, atol=1e-5, rtol=1e-4)

    @pytest.mark.slow
    def test_a_compiled_network_trains_and_its_weights_load_anywhere(self, tiny):
        plain, compiled = self.trained(tiny, "plain"), self.trained(tiny, "fast", compile=True)
        assert plain.keys() == compiled.keys()
        for key, value in plain.items():
            torch.testing.assert_close(compiled[key], value, atol=1e-4, rtol=1e-3)


def test_terms_are_summed_and_logged_apart(tiny):
    losses = {"ssim_opt": {"type": "SSIMLoss", "loss_weight": 0.5}}
    run("--opt", tiny(train={**losses, "grad_clip": 0.1}))
    log = events("experiments/tiny")
    parts = [log.Scalars(f"losses/{n}")[-1].value for n in ("l_pixel", "l_ssim", "l_total")]
    assert parts[0] + parts[1] == pytest.approx(parts[2], rel=1e-5)
    assert log.Scalars("losses/grad_norm")


def test_perceptual_loss_needs_its_weights_or_says_so(tiny, monkeypatch):
    import basicsr.archs.vgg_arch as vgg

    def offline(*_, **__):
        raise OSError("no network")

    options = tiny(
        train={"perceptual_opt": {"type": "PerceptualLoss", "layer_weights": {"conv1_2": 1.0}}}
    )
    monkeypatch.setattr(vgg.vgg, "vgg19", offline)
    with pytest.raises(UserError, match=r"perceptual_opt: PerceptualLoss needs weights.*no net"):
        run("--opt", options)


def test_perceptual_loss_trains(tiny, monkeypatch):
    import basicsr.archs.vgg_arch as vgg

    real = vgg.vgg.vgg19
    monkeypatch.setattr(vgg.vgg, "vgg19", lambda **_: real(weights=None))
    loss = {"type": "PerceptualLoss", "layer_weights": {"conv1_2": 1.0}, "style_weight": 1.0}
    assert run("--opt", tiny(train={"perceptual_opt": loss}, name="percept")) == 0
    log = events("experiments/percept")
    assert log.Scalars("losses/l_perceptual")
    assert log.Scalars("losses/l_perceptual_style")


class TestWatching:
    def test_tensorboard_holds_what_is_promised(self, tiny):
        run("--opt", tiny(train={"total_iter": 3}))
        log = events("experiments/tiny")
        tags = log.Tags()
        assert {"losses/l_pixel", "losses/l_total", "train/learning_rate", "time/iteration",
                "time/data", "metrics/pairs_val/basicsr/psnr", "metrics/pairs_val/basicsr/ssim",
                "best/pairs_val/basicsr/psnr"} <= set(tags["scalars"])  # fmt: skip
        assert [e.step for e in log.Scalars("losses/l_pixel")] == [1, 2, 3]
        image = log.Images("pairs_val: input | output | ground truth")[0]
        assert (image.width, image.height) == (3 * 64, 48)
        assert "options/text_summary" in tags["tensors"]
        assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= set(log.summary_metadata)

    def test_can_be_turned_off(self, tiny, in_tmp):
        run("--opt", tiny(logger={"use_tb_logger": False}))
        assert not list(in_tmp.rglob("events*"))

    def test_lines_and_file_tell_the_time_left(self, tiny, capsys, in_tmp):
        run("--opt", tiny())
        out = capsys.readouterr().out
        assert "iteration 2/2  l_pixel" in out
        assert "left 0:00:00" in out
        assert "Using the CPU" in out
        assert "iteration 2/2" in (in_tmp / "experiments/tiny/train.log").read_text()

    def test_resolved_options_lie_in_the_run_folder(self, tiny):
        path = tiny()
        run("--opt", path)
        assert load_options("experiments/tiny/options.yml") == load_options(path)

    def test_val_metrics_of_basicsr_stand_beside_the_protocol(self, tiny, in_tmp):
        metric = {"type": "calculate_psnr", "crop_border": 2, "test_y_channel": True}
        run("--opt", tiny(val={"metrics": {"y": metric}, "save_img": True}))
        assert events("experiments/tiny").Scalars("metrics/pairs_val/basicsr/y")
        assert list(in_tmp.glob("experiments/tiny/visualization/pairs_val/2/*.png"))


class TestLearningRate:
    def model(self, tiny, **changes):
        opt = prepare_run(load_options(tiny(train=changes)), training=True)
        return lookup(MODEL_REGISTRY, "EnhancementModel")(opt)

    def rates(self, model, iterations, warmup=-1):
        found = []
        for iteration in range(1, iterations + 1):
            model.update_learning_rate(iteration, warmup)
            found.append(model.get_current_learning_rate()[0])
            model.optimizers[0].step()
        return found

    def test_cosine_spans_the_run_by_default(self, tiny):
        scheduler = {"type": "CosineAnnealingLR", "eta_min": 1e-5}
        rates = self.rates(self.model(tiny, total_iter=11, scheduler=scheduler), 11)
        assert rates[0] == pytest.approx(1e-3)
        assert rates[5] == pytest.approx(1e-5 + (1e-3 - 1e-5) * 0.5 * (1 + 0.1423148), rel=1e-3)
        assert rates[10] == pytest.approx(1e-5 + (1e-3 - 1e-5) * 0.5 * (1 - 0.9594930), rel=1e-3)

    def test_basicsrs_multi_step(self, tiny):
        scheduler = {"type": "MultiStepLR", "milestones": [2, 4], "gamma": 0.5}
        rates = self.rates(self.model(tiny, total_iter=6, scheduler=scheduler), 6)
        assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4])

    def test_warm_up_does_not_disturb_what_follows(self, tiny):
        scheduler = {"type": "ExponentialLR", "gamma": 0.9}
        model = self.model(tiny, total_iter=8, scheduler=scheduler)
        rates = self.rates(model, 8, warmup=4)
        assert rates[:3] == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3])
        assert rates[3:] == pytest.approx([1e-3 * 0.9**n for n in range(3, 8)])

    def test_retinexformers_cycles(self, tiny):
        """Rates by the published formula at the ends of both cycles."""
        scheduler = {
            "type": "CosineAnnealingRestartCyclicLR", "periods": [46000, 104000],
            "restart_weights": [1, 1], "eta_mins": [3e-4, 1e-6],
        }  # fmt: skip
        optim = {"type": "Adam", "lr": 2e-4}
        model = self.model(tiny, total_iter=150000, scheduler=scheduler, optim_g=optim)
        model.optimizers[0].step()
        expected = {
            1: 2e-4,
            23001: 2.5e-4,
            46000: 3e-4 - 1e-4 * 0.5 * (1 - math.cos(math.pi / 46000)),
            46001: 3e-4,
            46002: 1e-6 + (2e-4 - 1e-6) * 0.5 * (1 + math.cos(math.pi / 104000)),
            150000: 1e-6 + (2e-4 - 1e-6) * 0.5 * (1 - math.cos(math.pi / 104000)),
        }
        for iteration, rate in expected.items():
            model.schedulers[0].last_epoch = iteration - 1
            found = model.schedulers[0].get_lr()[0]
            assert found == pytest.approx(rate, rel=1e-9), iteration

    def test_cycles_of_different_lengths_are_refused(self, tiny):
        scheduler = {"type": "CosineAnnealingRestartCyclicLR", "periods": [2, 3],
                     "restart_weights": [1], "eta_mins": [0, 0]}  # fmt: skip
        with pytest.raises(UserError, match=r"scheduler: Expected `periods`, .* of one length"):
            load_options(tiny(train={"scheduler": scheduler}))

    def test_every_scheduler_is_a_class_with_a_name(self):
        assert {"CosineAnnealingLR", "CosineAnnealingRestartLR", "MultiStepLR", "OneCycleLR",
                "StepLR"} <= scheduler_types().keys()  # fmt: skip
        assert "ReduceLROnPlateau" not in scheduler_types()


class TestMixup:
    def test_targets_stay_paired(self):
        torch.manual_seed(0)
        mixup, lq = Mixup(use_identity=False), torch.rand(4, 3, 5, 6)
        mixed_lq, mixed_gt = mixup(lq, lq * 3)
        torch.testing.assert_close(mixed_gt, mixed_lq * 3)
        assert not torch.equal(mixed_lq, lq)

    def test_identity_leaves_half_of_the_batches_alone(self):
        torch.manual_seed(0)
        mixup, lq = Mixup(), torch.rand(4, 3, 2, 2)
        alone = sum(torch.equal(mixup(lq, lq)[0], lq) for _ in range(400))
        assert 160 < alone < 260  # and a few whose partners are themselves

    def test_trains_and_can_be_off(self, tiny):
        augs = {"mixup": True, "mixup_beta": 1.2, "use_identity": True}
        assert run("--opt", tiny(train={"mixing_augs": augs})) == 0
        with pytest.raises(UserError, match=r"mixing_augs: Expected `mixup_beta` above 0"):
            load_options(tiny(train={"mixing_augs": {"mixup_beta": 0}}))


def test_ema_follows_the_weights(tiny):
    opt = prepare_run(load_options(tiny(train={"ema_decay": 0.5})), training=True)
    model = lookup(MODEL_REGISTRY, "EnhancementModel")(opt)
    before = deepcopy(model.net_g_ema.state_dict())
    batch = {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16)}
    model.feed_data(batch)
    model.optimize_parameters(100)
    for name, value in model.net_g.state_dict().items():
        torch.testing.assert_close(model.net_g_ema.state_dict()[name], (before[name] + value) / 2)
    assert model.tested_network is model.net_g_ema


class TestResuming:
    def options(self, tiny, **changes):
        scheduler = {"type": "CosineAnnealingLR"}
        return tiny(
            train={"total_iter": 6, "ema_decay": 0.9, "scheduler": scheduler, "warmup_iter": 3,
                   "mixing_augs": {"mixup_beta": 1.2, "use_identity": False}, **changes},
            val={"val_freq": 3},
        )  # fmt: skip

    def test_a_continued_run_equals_an_unbroken_one(self, tiny):
        path = self.options(tiny)
        run("--opt", path, "--force_yml", "name=whole")
        state = run_until(path, "broken", 4)
        assert state["iteration"] == 4
        assert run("--opt", path, "--auto_resume", "--force_yml", "name=broken") == 0
        for key in ("params", "params_ema"):
            a, b = (
                checkpoint.read_weights(f"experiments/{n}/models/net_g_latest.pth", key)[0]
                for n in ("whole", "broken")
            )
            assert all(torch.equal(a[k], b[k]) for k in a)
        curves = [
            [(e.step, e.value) for e in events(f"experiments/{n}").Scalars("losses/l_pixel")]
            for n in ("whole", "broken")
        ]
        assert curves[0] == curves[1]

    def test_a_finished_run_is_left_as_it_is(self, tiny):
        path = self.options(tiny)
        run("--opt", path)
        before = weights()
        assert run("--opt", path, "--auto_resume") == 0
        assert all(torch.equal(before[k], v) for k, v in weights().items())

    def test_an_existing_run_is_never_overwritten_unasked(self, tiny):
        run("--opt", tiny())
        with pytest.raises(UserError, match=r"experiments/tiny: holds a run already; go on with"):
            run("--opt", tiny())

    def test_a_damaged_state_is_named_and_the_one_before_used(self, tiny, in_tmp, capsys):
        path = self.options(tiny)
        run("--opt", path, "--force_yml", "name=whole")
        run_until(path, "tiny", 4)
        states = in_tmp / "experiments/tiny/training_states"
        latest = states / "latest.state"
        latest.write_bytes(latest.read_bytes()[:200])
        assert run("--opt", path, "--auto_resume") == 0
        out = capsys.readouterr().out
        assert "latest.state: is damaged" in out
        assert "Going on from iteration 3" in out
        assert all(torch.equal(v, weights("whole")[k]) for k, v in weights("tiny").items())
        for state in states.glob("*.state"):
            state.write_bytes(b"no")
        with pytest.raises(UserError, match=r"latest\.state: (.|\n)*previous\.state: "):
            run("--opt", path, "--auto_resume")

    def test_total_iter_may_grow_where_the_learning_rate_does_not_follow_it(self, tiny):
        longer = ["--force_yml", "train:total_iter=8"]
        path = tiny(train={"total_iter": 4})
        run("--opt", path)
        assert run("--opt", path, "--auto_resume", *longer) == 0
        run("--opt", path, *longer, "name=whole")
        assert all(torch.equal(v, weights("whole")[k]) for k, v in weights("tiny").items())

    @pytest.mark.parametrize(
        "change",
        ["train:total_iter=12", "train:optim_g:lr=0.5", "network_g:type=LNetGIE",
         "train:ema_decay=0", "train:scheduler=null", "datasets:train:gt_size=16"],
    )  # fmt: skip
    def test_other_options_are_refused_and_listed(self, tiny, in_tmp, change):
        path = self.options(tiny)
        run("--opt", path)
        before = (in_tmp / "experiments/tiny/options.yml").read_text()
        key = change.split("=")[0].replace(":", ".")
        with pytest.raises(UserError, match=rf"cannot be continued with other(.|\n)*{key}.*: was"):
            run("--opt", path, "--auto_resume", "--force_yml", change)
        assert (in_tmp / "experiments/tiny/options.yml").read_text() == before

    def test_another_runs_state_must_fit(self, tiny):
        run("--opt", tiny(train={"total_iter": 2}))
        state = "path:resume_state=experiments/tiny/training_states/latest.state"
        with pytest.raises(UserError, match="is at iteration 2, which leaves nothing to train"):
            run("--opt", tiny(), "--force_yml", "name=b", state)
        longer = ["name=c", "train:total_iter=4", state]
        assert run("--opt", tiny(), "--force_yml", *longer) == 0
        with pytest.raises(UserError, match="does not fit this run's options"):
            run("--opt", tiny(), "--force_yml", "network_g:type=LNetGIE", "name=d", *longer[1:])

    def test_another_measure_starts_a_new_best(self, tiny):
        path = self.options(tiny)
        run_until(path, "tiny", 4)
        run("--opt", path, "--auto_resume", "--force_yml", "val:select_by=ssim")
        best = checkpoint.read_weights("experiments/tiny/models/net_g_best.pth")[1]["best"]
        assert (best["metric"], best["iteration"]) == ("ssim", 6)

    def test_what_does_not_touch_the_weights_may_change(self, tiny):
        path = self.options(tiny)
        run("--opt", path)
        free = ["logger:print_freq=7", "val:val_freq=2", "datasets:train:num_worker_per_gpu=1"]
        assert run("--opt", path, "--auto_resume", "--force_yml", *free) == 0

    def test_basicsrs_own_models_cannot_be_continued(self, tiny):
        path = tiny(model_type="SRModel", val={"metrics": None})
        run("--opt", path)
        with pytest.raises(UserError, match="holds weights but no training state"):
            run("--opt", path, "--auto_resume")


class TestNothingIsLost:
    def test_a_loss_that_is_not_a_number_stops_the_run(self, tiny):
        path = tiny(
            train={"total_iter": 20, "optim_g": {"type": "SGD", "lr": 1e30}},
            val={"val_freq": 1}, logger={"save_checkpoint_freq": 1},
        )  # fmt: skip
        with pytest.raises(UserError, match=r"iteration \d+: .*10 updates in a row .*is whole"):
            run("--opt", path)
        assert all(v.isfinite().all() for v in weights().values())

    def test_a_bad_image_found_late_loses_no_iteration(self, tiny, in_tmp):
        broken = in_tmp / "datasets/high_low/train/low/2.png"
        whole = broken.read_bytes()
        path = tiny(
            datasets={"train": {"val_fraction": None, "batch_size_per_gpu": 1}},
            logger={"save_checkpoint_freq": 1000}, train={"total_iter": 9},
        )  # fmt: skip
        broken.write_bytes(whole[:-60])
        with pytest.raises(UserError, match=r"low/2\.png: cannot be read as an image"):
            run("--opt", path)
        broken.write_bytes(whole)
        assert run("--opt", path, "--auto_resume") == 0

    def test_a_folder_that_holds_nothing_yet_is_free(self, tiny, in_tmp):
        with pytest.raises(UserError, match="leave none for 'val'"):
            run("--opt", tiny(datasets={"train": {"val_fraction": 0.01}}))
        assert not (in_tmp / "experiments").exists()
        assert run("--opt", tiny()) == 0

    def test_super_resolution_by_mistake_is_told(self, tiny):
        edsr = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1}
        with pytest.raises(UserError, match="a super-resolution network needs `upscale: 1`"):
            run("--opt", tiny(network_g=edsr))
        assert run("--opt", tiny(network_g={**edsr, "upscale": 1})) == 0

    def test_warm_up_needs_no_scheduler(self, tiny):
        assert run("--opt", tiny(train={"warmup_iter": 2})) == 0


class TestBasicsrsOwn:
    def block(self, **changes):
        folder = "datasets/high_low/train"
        return {
            "type": "PairedImageDataset", "dataroot_lq": f"{folder}/low", "use_hflip": True,
            "dataroot_gt": f"{folder}/high", "io_backend": {"type": "disk"}, "use_rot": True,
            "layout": None, "split": None, "val_fraction": None, **changes,
        }  # fmt: skip

    def test_folders_are_found_by_the_variable_too(self, tiny, in_tmp, monkeypatch):
        path = tiny(datasets={"train": self.block(), "test": None})
        (in_tmp / "datasets").rename(in_tmp / "elsewhere")
        monkeypatch.setenv("ENHANCEMENT_DATA", str(in_tmp / "elsewhere"))
        assert run("--opt", path) == 0

    def test_missing_keys_and_missing_gt_are_told(self, tiny):
        with pytest.raises(
            UserError, match=r"train\.io_backend: missing; PairedImageDataset reads"
        ):
            run("--opt", tiny(datasets={"train": self.block(io_backend=None)}))
        single = self.block(type="SingleImageDataset", dataroot_gt=None, gt_size=None,
                            use_hflip=None, use_rot=None)  # fmt: skip
        with pytest.raises(UserError, match="the dataset gives no gt; expected pairs"):
            run("--opt", tiny(datasets={"train": single}))

    def test_a_model_that_ignores_an_option_is_told_so(self, tiny):
        with pytest.raises(UserError, match=r"train\.ssim_opt: SRModel does not read it"):
            run("--opt", tiny(model_type="SRModel", train={"ssim_opt": {"type": "SSIMLoss"}}))


def test_val_metrics_get_bgr_as_basicsr_gives_it(tiny):
    from basicsr.metrics import calculate_psnr
    from basicsr.utils import tensor2img

    metric = {"type": "calculate_psnr", "crop_border": 0, "test_y_channel": True}
    opt = prepare_run(load_options(tiny(val={"metrics": {"y": metric}})), training=True)
    model = lookup(MODEL_REGISTRY, "EnhancementModel")(opt)
    a, b = torch.rand(2, 1, 3, 16, 16)
    expected = calculate_psnr(tensor2img(a), tensor2img(b), 0, test_y_channel=True)
    assert dict(model._extra_metrics(a, b)) == {"y": pytest.approx(expected)}


def run_until(path, name, iteration):
    """Train with Ctrl-C at an iteration; the state left behind."""
    step = train.Progress.advance

    def advance(self, current):
        if current == iteration:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, current)

    train.Progress.advance = advance
    try:
        status = run("--opt", path, "--force_yml", f"name={name}")
    finally:
        train.Progress.advance = step
    assert status == train.EXIT_RESUMABLE
    return checkpoint.read(f"experiments/{name}/training_states/latest.state")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_clusters_warning_saves_and_says_that_it_can_go_on(tiny, monkeypatch, capsys, number):
    path = tiny(train={"total_iter": 6}, logger={"save_checkpoint_freq": 100})
    step, before = train.Progress.advance, signal.getsignal(number)

    def advance(self, current):
        if current == 3:
            os.kill(os.getpid(), number)
        return step(self, current)

    monkeypatch.setattr(train.Progress, "advance", advance)
    assert run("--opt", path) == train.EXIT_RESUMABLE == 75
    assert f"Stopped by {number.name} at iteration 3" in capsys.readouterr().out
    assert signal.getsignal(number) == before
    state = checkpoint.read("experiments/tiny/training_states/latest.state")
    assert state["iteration"] == 3


def test_a_run_killed_before_its_first_checkpoint_goes_on(tiny, in_tmp, monkeypatch):
    path = tiny(train={"total_iter": 4}, logger={"save_checkpoint_freq": 1000})
    run("--opt", path, "--force_yml", "name=whole")

    class KilledError(BaseException):
        pass

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(train, "keep_best", die)
        with pytest.raises(KilledError):
            run("--opt", path)
    assert run("--opt", path, "--auto_resume") == 0
    assert all(torch.equal(v, weights("whole")[k]) for k, v in weights().items())


def test_a_dead_trainers_workers_do_not_hold_its_lock(in_tmp):
    """A process forked while the lock was held outlives its parent."""
    code = (
        "import os, signal, sys, time\nfrom pathlib import Path\n"
        "from enhancement.run_folder import locked\n"
        "with locked(Path('run')):\n"
        "    if os.fork() == 0:\n        time.sleep(8); os._exit(0)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, stdout=subprocess.DEVNULL)
    with locked(in_tmp / "run"):
        pass


def test_another_number_of_processes_may_go_on_and_says_what_that_means(tiny, capsys):
    path = tiny(train={"total_iter": 4})
    run_until(path, "tiny", 2)
    state = checkpoint.read("experiments/tiny/training_states/latest.state")
    file = Path("experiments/tiny/training_states/latest.state")
    checkpoint.save(file, state | {"world_size": 2})
    assert run("--opt", path, "--auto_resume") == 0
    assert "was saved by 2 processes and goes on with 1" in capsys.readouterr().out


def test_two_runs_cannot_share_a_folder(tiny, in_tmp):
    with (
        locked(in_tmp / "experiments/tiny"),
        pytest.raises(UserError, match="experiments/tiny: another process is training in it"),
    ):
        run("--opt", tiny())
    assert not (in_tmp / "experiments").exists()
    assert run("--opt", tiny()) == 0


def test_numbered_checkpoints_are_kept_and_pruned(tiny, in_tmp):
    run("--opt", tiny(train={"total_iter": 12}, logger={"keep_last": 2}))
    folder = in_tmp / "experiments/tiny"
    kept = {p.name for p in [*folder.glob("models/*.pth"), *folder.glob("training_states/*.state")]}
    assert kept == {
        "net_g_best.pth", "net_g_latest.pth", "net_g_11.pth", "net_g_12.pth",
        "latest.state", "previous.state", "11.state", "12.state",
    }  # fmt: skip


class TestNotANumber:
    def poison(self, monkeypatch, iterations):
        """Make the loss NaN at these iterations."""
        model = lookup(MODEL_REGISTRY, "EnhancementModel")
        step, seen = model.optimize_parameters, []

        def optimize(self, iteration):
            if iteration in iterations:
                self.lq = self.lq * math.nan
            seen.append({k: v.clone() for k, v in self.net_g.state_dict().items()})
            step(self, iteration)

        monkeypatch.setattr(model, "optimize_parameters", optimize)
        return seen

    def test_a_bad_update_is_skipped_counted_and_logged(self, tiny, monkeypatch, capsys):
        seen = self.poison(monkeypatch, {3})
        run("--opt", tiny(train={"total_iter": 5, "ema_decay": 0.5}, val={"val_freq": 5}))
        text = capsys.readouterr().out
        assert "iteration 3: l_pixel is nan (batch: datasets/high_low/train/low/" in text
        assert "update skipped, 1 in this run" in text
        assert all(torch.equal(seen[2][k], seen[3][k]) for k in seen[2])
        assert not all(torch.equal(seen[3][k], seen[4][k]) for k in seen[3])
        assert all(v.isfinite().all() for v in weights().values())
        assert checkpoint.read("experiments/tiny/training_states/latest.state")["skipped"] == [1, 0]

    def test_running_statistics_are_not_poisoned(self, tiny, monkeypatch):
        self.poison(monkeypatch, {3})
        network = {"type": "HDRNet", "low_resolution": 64, "batch_norm": True}
        run("--opt", tiny(network_g=network, train={"total_iter": 5}))
        assert all(v.isfinite().all() for v in weights().values())

    def test_many_in_a_row_stop_the_run_with_the_last_checkpoint_whole(self, tiny, monkeypatch):
        self.poison(monkeypatch, range(4, 100))
        path = tiny(train={"total_iter": 50, "max_skipped": 3}, val={"val_freq": 50})
        with pytest.raises(UserError, match=r"iteration 6: .*low/.*; 3 updates in a row had to"):
            run("--opt", path)
        state = checkpoint.read("experiments/tiny/training_states/latest.state")
        assert state["iteration"] == 5
        assert all(v.isfinite().all() for v in state["net_g"].values())


class TestKilled:
    """A killed run that is continued equals one that was never killed, bit for bit."""

    DYING = (
        "import os, signal, sys, torch\n"
        "torch.set_num_threads(2)\n"  # sums depend on it in their last bit
        "from enhancement import checkpoint, train\n"
        "place, at = sys.argv[1], int(sys.argv[2])\n"
        "kind, name = {'iteration': (train.Progress, 'advance'),\n"
        "              'save': (checkpoint.Path, 'replace')}[place]\n"
        "step, calls = getattr(kind, name), []\n"
        "def dying(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == at:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(*arguments)\n"
        "setattr(kind, name, dying)\n"
        "sys.exit(train.run_training(train.parse(sys.argv[3:])))\n"
    )

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", [0, 2])
    def test_at_random_iterations_and_during_a_save(self, tiny, workers):
        options = tiny(
            network_g={"type": "HDRNet", "low_resolution": 64},
            train={"total_iter": 12, "ema_decay": 0.9, "scheduler": {"type": "CosineAnnealingLR"},
                   "mixing_augs": {"mixup_beta": 1.2, "use_identity": False}},
            val={"val_freq": 5}, logger={"save_checkpoint_freq": 2},
            datasets={"train": {"num_worker_per_gpu": workers}},
        )  # fmt: skip
        run("--opt", options, "--force_yml", "name=whole")
        random = np.random.default_rng()
        kills = [("iteration", int(random.integers(1, 13))), ("save", int(random.integers(1, 20)))]
        for place, at in kills:
            name = f"{place}{at}"
            started = [*("--opt", options, "--force_yml", f"name={name}"), "--auto_resume"]
            done = subprocess.run(
                [sys.executable, "-c", self.DYING, place, str(at), *started],
                capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            assert done.returncode == -signal.SIGKILL, (name, done.stderr)
            assert run(*started) == 0, name
            for key in ("params", "params_ema"):
                a, b = (
                    checkpoint.read_weights(f"experiments/{n}/models/net_g_latest.pth", key)[0]
                    for n in ("whole", name)
                )
                assert all(torch.equal(a[k], b[k]) for k in a), name
            curves = [
                {tag: [(e.step, e.value) for e in log.Scalars(tag)] for tag in log.Tags()["scalars"]
                 if not tag.startswith("time/")}
                for log in (events(f"experiments/{n}") for n in ("whole", name))
            ]  # fmt: skip
            assert curves[0] == curves[1], name


def test_ctrl_c_finishes_the_iteration_and_says_so(tiny, capsys):
    run_until(tiny(train={"total_iter": 50}), "stopped", 3)
    assert "Stopped by Ctrl-C at iteration 3" in capsys.readouterr().out
    assert weights("stopped")


class TestCommandLine:
    def script(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, str(ROOT / "basicsr/train.py"), *arguments],
            capture_output=True, text=True, timeout=120, env={**os.environ, **environment},
        )  # fmt: skip

    def test_a_mistake_ends_with_status_2_and_no_traceback(self, tiny, in_tmp):
        done = self.script("-opt", tiny(nam="x"))
        assert done.returncode == 2
        assert done.stderr.startswith("error: tiny.yml: nam: unknown key; did you mean 'name'?")
        assert "Traceback" not in done.stderr
        assert not (in_tmp / "experiments").exists()

    def test_debug_makes_a_short_trial_of_its_own(self, tiny, in_tmp):
        assert run("--opt", tiny(train={"total_iter": 1000}), "--debug") == 0
        assert run("--opt", tiny(train={"total_iter": 1000}), "--debug") == 0  # again
        state = checkpoint.read("experiments/debug_tiny/training_states/latest.state")
        assert state["iteration"] == train.DEBUG["total_iter"]

    def test_a_launcher_without_its_environment_says_so(self, tiny):
        with pytest.raises(UserError, match=r"--launcher pytorch: RANK, .*torchrun"):
            run("--opt", tiny(), "--launcher", "pytorch")

    @pytest.mark.slow
    def test_two_processes_equal_one_with_twice_the_batch(self, tiny):
        path = tiny(train={"total_iter": 3, "optim_g": {"type": "SGD", "lr": 0.1}})
        run("--opt", path, "--force_yml", "name=one")
        half = ["--force_yml", "name=two", "datasets:train:batch_size_per_gpu=1"]
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2",
             "--master_port=29517", str(ROOT / "basicsr/train.py"), "--opt", path,
             "--launcher", "pytorch", *half],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        one, two = weights("one"), weights("two")
        for name in one:
            torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=0)


def test_yaml_of_a_run_is_plain(tiny, in_tmp):
    run("--opt", tiny())
    assert isinstance(yaml.safe_load((in_tmp / "experiments/tiny/options.yml").read_text()), dict)
