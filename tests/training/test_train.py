"""Runs: every network on every dataset, losses, how it is computed, what is logged."""

import gzip
import json
import os
import re
import subprocess
import sys
from copy import deepcopy
from itertools import cycle, product

import pytest
import torch
import yaml
from helpers import ROOT, events, make_clip, make_pairs, model_of, picture, run, run_until, weights
from networks import SMALL
from torch import nn

from enhancement.config.files import OptionFile
from enhancement.config.load import load_config
from enhancement.data.images import write_image
from enhancement.errors import OptionError, UserError
from enhancement.models.enhancement_model import basicsr_score
from enhancement.registry import ARCH_REGISTRY, lookup
from enhancement.training import command as train
from enhancement.weights import state_dicts, storage
from enhancement.weights.state_dicts import read_weights

NETWORKS = sorted(p.stem for p in (ROOT / "options").glob("*.yml") if p.stem != "quickstart")
TESTED_ALONE = ["exdark", "well_lit"]
FOUND = sorted(p.stem for p in (ROOT / "options/datasets").glob("*.yml"))
DATASETS = [name for name in FOUND if name not in TESTED_ALONE]
UNPAIRED = ["endoscopy_dark", "lol_v1_dark", "surgical_video_dark"]
PAIRED = [name for name in DATASETS if name not in UNPAIRED]
# every network and every dataset at least once; those after every dataset's first are slow
COVERING = [
    *zip(NETWORKS, PAIRED, strict=False),
    *(("zero_dce", name) for name in UNPAIRED),
    *(
        pytest.param(*pair, marks=pytest.mark.slow)
        for pair in zip(NETWORKS[len(PAIRED) :], cycle(PAIRED), strict=False)
    ),
]
LOL = {
    "high_low": ("train/low", "train/high", "test/low", "test/high"),
    "LOLv1": ("Train/input", "Train/target", "Test/input", "Test/target"),
    "LOLv2/Real_captured": ("Train/Low", "Train/Normal", "Test/Low", "Test/Normal"),
    "LOLv2/Synthetic": ("Train/Low", "Train/Normal", "Test/Low", "Test/Normal"),
    "KCL": ("training/low", "training/high", "evaluation/low", "evaluation/high"),
    "RLE": ("training/low", "training/high", "evaluation/low", "evaluation/high"),
}


@pytest.fixture(scope="module")
def made_data(tmp_path_factory):
    """Tiny made images in every dataset's place."""
    root = tmp_path_factory.mktemp("made")
    for folder, sides in LOL.items():
        make_pairs(root / folder, *sides[:2], count=20)  # enough for a twentieth to be one
        make_pairs(root / folder, *sides[2:], count=2)
    for i in range(10):
        for folder in ("KvasirSEG", "surgical", "WCEBleedGen/bleeding"):
            write_image(root / f"{folder}/images/{i}.jpg", picture(i))
        for folder in ("KvasirSEG", "WCEBleedGen/bleeding"):
            write_image(root / f"{folder}/masks/{i}.png", picture(i) // 128 * 255)
    for folder in ("KCL", "RLE"):
        make_pairs(root / folder, "val/low", "val/high", count=2)
    for i in range(20):
        write_image(root / f"BSDS500/train/{i}.jpg", picture(100 + i))
        write_image(root / f"WCEBleedGen/non_bleeding/images/{i}.jpg", picture(200 + i))
    for split, side in product(("train", "val", "test"), ("low", "high")):
        bright = [picture(i, 96, 192) for i in range(26)]
        make_clip(root / f"SurgicalVideo/{split}/{side}/0.mp4", bright)
    (root / "weights").mkdir()
    torch.save(lookup(ARCH_REGISTRY, "AODNet")().state_dict(), root / "weights/aodnet_dehazer.pth")
    return root


@pytest.mark.parametrize(("network", "dataset"), COVERING)
def test_networks_train_on_datasets(network, dataset, made_data, in_tmp, monkeypatch):
    monkeypatch.setenv("ENHANCEMENT_DATA", str(made_data))
    small = [
        "datasets:train:batch_size_per_gpu=2",
        "train:total_iter=2",
        "val:val_freq=2",
        "datasets:train:gt_size=32",
    ]
    if dataset in UNPAIRED:  # scored by NIQE, which needs room for two blocks
        small.append("datasets:train:resize=[96, 192]")
    path, name = ROOT / f"options/{network}.yml", f"{network}_{dataset}"
    arguments = SMALL.get(OptionFile(path).options["network_g"]["type"], {})
    small += [f"network_g:{key}={value}" for key, value in arguments.items()]
    assert run("--opt", path, "--dataset", dataset, "--force_yml", *small) == 0
    state, meta = state_dicts.read_weights(f"experiments/{name}/models/net_g_best.pth")
    assert all(value.isfinite().all() for value in state.values())
    assert meta["best"]["iteration"] == 2
    assert meta["best"]["dataset"].endswith("_val")


@pytest.mark.parametrize(
    "network",
    [
        {
            "type": "EDSR",
            "num_in_ch": 3,
            "num_out_ch": 3,
            "num_feat": 8,
            "num_block": 1,
            "upscale": 1,
        },
        {
            "type": "SwinIR",
            "img_size": 16,
            "embed_dim": 12,
            "depths": [2],
            "num_heads": [2],
            "window_size": 4,
            "mlp_ratio": 2,
            "upscale": 1,
            "upsampler": "",
        },
    ],
    ids=["EDSR", "SwinIR"],
)
def test_basicsrs_networks_train_by_the_same_command(tiny, network):
    gt_size = 30  # not a multiple of SwinIR's window
    options = tiny(network_g=network, datasets={"train": {"gt_size": gt_size}})
    assert run("--opt", options) == 0
    assert weights()


def test_basicsrs_dataset_and_model_work_too(tiny, in_tmp):
    folder = "datasets/high_low/train"
    train_set = {
        "type": "PairedImageDataset",
        "dataroot_lq": f"{folder}/low",
        "use_hflip": True,
        "dataroot_gt": f"{folder}/high",
        "io_backend": {"type": "disk"},
        "use_rot": True,
        "layout": None,
        "split": None,
        "val_fraction": None,
    }
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
        "--opt",
        tiny(
            train={
                "total_iter": 30,
                "pixel_opt": {"type": name, **LOSSES[name]},
                "optim_g": {"lr": 0.02},
            },
            val={"val_freq": 30},
            logger={"save_checkpoint_freq": 30},
            datasets={"train": {"gt_size": 48, "batch_size_per_gpu": 3}},
        ),
    )
    curve = [e.value for e in events("experiments/tiny").Scalars("losses/l_pixel")]
    assert sum(curve[-5:]) < 0.9 * sum(curve[:5])


def test_the_rate_after_warm_up_without_a_schedule(tiny):
    run("--opt", tiny(train={"total_iter": 5, "warmup_iter": 2}))
    rates = [e.value for e in events("experiments/tiny").Scalars("train/learning_rate")]
    assert rates == pytest.approx([5e-4, 1e-3, 1e-3, 1e-3, 1e-3])


def test_basicsrs_own_models_begin_with_our_weights(tiny):
    run("--opt", tiny())
    own = tiny(
        model_type="SRModel",
        train={"total_iter": 1, "optim_g": {"lr": 1e-30}},
        path={"pretrain_network_g": "experiments/tiny/models/net_g_latest.pth"},
    )
    assert run("--opt", own, "--force_yml", "name=theirs", "path:param_key_g=params") == 0
    theirs = read_weights("experiments/theirs/models/net_g_1.pth")[0]
    assert all(torch.equal(v, weights()[k]) for k, v in theirs.items())
    with pytest.raises(OptionError, match="init_network_g: SRModel does not read it"):
        run("--opt", own, "--force_yml", "path:init_network_g=video")


class TestHowItIsComputed:
    NETWORKS = {
        "AODNet": {},
        "DEDNet": {"n_feat": 8},
        "LNetGIE": {},
        "RetinexFormer": {"n_feat": 8},
        "HDRNet": {"low_resolution": 64},
    }

    def trained(self, tiny, name, network="AODNet", **train_block):
        run(
            "--opt",
            tiny(
                name=name,
                network_g={"type": network, **self.NETWORKS[network]},
                train={"total_iter": 6, "ema_decay": 0.5, **train_block},
                val={"val_freq": 6},
            ),
        )
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
        scaler = storage.read("experiments/low/training_states/latest.state")["scaler"]
        assert scaler["scale"] > 1
        assert run("--opt", "tiny.yml", "--auto_resume") == 0

    @pytest.mark.parametrize("network", NETWORKS)
    def test_accumulated_parts_equal_the_whole_batch(self, tiny, network):
        sgd = {"optim_g": {"type": "SGD", "lr": 0.05, "betas": None}}
        whole = self.trained(tiny, "whole", network, **sgd)
        parts = self.trained(tiny, "parts", network, accumulate=2, **sgd)
        for key, value in whole.items():
            torch.testing.assert_close(parts[key], value, atol=1e-5, rtol=1e-4)

    def test_losses_that_add_up_do_so_over_the_parts(self, tiny):
        sgd = {"optim_g": {"type": "SGD", "lr": 1e-6, "betas": None}, "total_iter": 1}
        total = {"pixel_opt": {"type": "MSELoss", "reduction": "sum"}, **sgd}
        self.trained(tiny, "whole", **total)
        self.trained(tiny, "parts", accumulate=2, **total)
        for tag in ("losses/l_pixel", "losses/grad_norm"):
            whole, parts = (events(f"experiments/{n}").Scalars(tag) for n in ("whole", "parts"))
            assert parts[0].value == pytest.approx(whole[0].value, rel=1e-4)

    def test_named_losses_see_the_compiled_network(self, tiny, monkeypatch):
        compiled = []
        monkeypatch.setattr(nn.Module, "compile", lambda module: compiled.append(module))
        model = model_of(
            tiny(
                model_type="NamedLossModel",
                network_g={"type": "HDRNet", "low_resolution": 64, "mode": "illumination"},
                train={"compile": True},
            )
        )
        assert compiled == [model.net_g]

    @pytest.mark.slow
    def test_a_compiled_network_trains_and_its_weights_load_anywhere(self, tiny):
        plain, compiled = self.trained(tiny, "plain"), self.trained(tiny, "fast", compile=True)
        assert plain.keys() == compiled.keys()
        for key, value in plain.items():
            torch.testing.assert_close(compiled[key], value, atol=1e-4, rtol=1e-3)


def test_a_network_without_parameters_is_refused_in_one_line(tiny, in_tmp):
    with pytest.raises(OptionError, match="DCP has no parameters; there is nothing to train") as e:
        run("--opt", tiny(network_g={"type": "DCP"}))
    assert len(e.value.faults) == 1
    assert not (in_tmp / "experiments").exists()


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


class TestProfile:
    def test_a_trace_of_some_iterations_names_our_operators(self, tiny, capsys):
        network = {"type": "HDRNet", "low_resolution": 64}
        options = tiny(network_g=network, train={"total_iter": 7}, val={"val_freq": 7})
        assert run("--opt", options, "--profile", "2") == 0
        assert "Profile: experiments/tiny/profile.pt.trace.json.gz" in capsys.readouterr().out
        with gzip.open("experiments/tiny/profile.pt.trace.json.gz") as file:
            trace = json.load(file)["traceEvents"]
        names = [event.get("name") for event in trace]
        assert {"SliceAndApply", "SliceAndApplyBackward", "aten::conv2d"} <= set(names)
        assert names.count("SliceAndApplyBackward") == names.count("SliceAndApply") == 2

    def test_a_run_stopped_before_writes_none(self, tiny, in_tmp):
        run_until(tiny(train={"total_iter": 50}), "tiny", 2, "--profile", "2")
        assert not list(in_tmp.rglob("*trace*"))

    def test_a_run_that_is_too_short_is_told_before_it_starts(self, tiny, in_tmp):
        with pytest.raises(UserError, match=r"--profile 3: wants 6 iterations, .* has 2 left"):
            run("--opt", tiny(), "--profile", "3")
        assert not (in_tmp / "experiments").exists()


class TestWatching:
    def test_tensorboard_holds_what_is_promised(self, tiny):
        run("--opt", tiny(train={"total_iter": 3}))
        log = events("experiments/tiny")
        tags = log.Tags()
        assert {
            "losses/l_pixel",
            "losses/l_total",
            "train/learning_rate",
            "time/iteration",
            "time/data",
            "time/waiting_share",
            "metrics/pairs_val/basicsr/psnr",
            "metrics/pairs_val/basicsr/ssim",
            "best/pairs_val/basicsr/psnr",
        } <= set(tags["scalars"])
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
        assert re.search(r"s/it \(\d+% waiting for data\)  left 0:00:00", out)
        assert "Using the CPU" in out
        assert "iteration 2/2" in (in_tmp / "experiments/tiny/train.log").read_text()

    def test_resolved_options_lie_in_the_run_folder(self, tiny):
        path = tiny()
        run("--opt", path)
        assert load_config("experiments/tiny/options.yml").resolved == load_config(path).resolved

    def test_val_metrics_of_basicsr_stand_beside_the_protocol(self, tiny, in_tmp):
        metric = {"type": "calculate_psnr", "crop_border": 2, "test_y_channel": True}
        run("--opt", tiny(val={"metrics": {"y": metric}, "save_img": True}))
        assert events("experiments/tiny").Scalars("metrics/pairs_val/basicsr/y")
        assert list(in_tmp.glob("experiments/tiny/visualization/pairs_val/2/*.png"))

    def test_val_metrics_never_take_the_place_of_the_protocols(self, tiny):
        run("--opt", tiny())
        best = "experiments/{}/models/net_g_best.pth"
        expected = read_weights(best.format("tiny"))[1]["best"]
        metric = {"type": "calculate_psnr", "crop_border": 8, "test_y_channel": True}
        run("--opt", tiny(name="other", val={"metrics": {"psnr": metric}}))
        assert read_weights(best.format("other"))[1]["best"] == expected
        curves = events("experiments/other")
        tag = "metrics/pairs_val/basicsr/psnr"
        (other,) = {e.value for e in curves.Scalars(f"{tag}_by_calculate_psnr")[-1:]}
        assert other != pytest.approx(curves.Scalars(tag)[-1].value)


def test_ema_follows_the_weights(tiny):
    model = model_of(tiny(train={"ema_decay": 0.5}))
    before = deepcopy(model.average.module.state_dict())
    batch = {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16)}
    model.feed_data(batch)
    for iteration in range(1, 13):
        model.optimize_parameters(iteration)
        decay = min(0.5, iteration / (iteration + 10))
        average = model.average.module.state_dict()
        for name, value in model.net_g.state_dict().items():
            expected = decay * before[name] + (1 - decay) * value
            torch.testing.assert_close(average[name], expected)
        before = deepcopy(average)
    assert model.tested_network is model.average.module


class TestBasicsrsOwn:
    def block(self, **changes):
        folder = "datasets/high_low/train"
        return {
            "type": "PairedImageDataset",
            "dataroot_lq": f"{folder}/low",
            "use_hflip": True,
            "dataroot_gt": f"{folder}/high",
            "io_backend": {"type": "disk"},
            "use_rot": True,
            "layout": None,
            "split": None,
            "val_fraction": None,
            **changes,
        }

    def test_folders_are_found_by_the_variable_too(self, tiny, in_tmp, monkeypatch):
        path = tiny(datasets={"train": self.block(), "test": None})
        (in_tmp / "datasets").rename(in_tmp / "elsewhere")
        monkeypatch.setenv("ENHANCEMENT_DATA", str(in_tmp / "elsewhere"))
        assert run("--opt", path) == 0

    def test_missing_keys_and_missing_gt_are_told(self, tiny):
        with pytest.raises(UserError, match=r"train\.io_backend: missing; expected a block"):
            run("--opt", tiny(datasets={"train": self.block(io_backend=None)}))
        single = self.block(
            type="SingleImageDataset", dataroot_gt=None, gt_size=None, use_hflip=None, use_rot=None
        )
        with pytest.raises(UserError, match="SingleImageDataset gives no pairs of images"):
            run("--opt", tiny(datasets={"train": single}))

    def test_a_model_that_ignores_an_option_is_told_so(self, tiny):
        with pytest.raises(UserError, match=r"train\.ssim_opt: SRModel does not read it"):
            run("--opt", tiny(model_type="SRModel", train={"ssim_opt": {"type": "SSIMLoss"}}))


def test_val_metrics_get_bgr_as_basicsr_gives_it(tiny):
    from basicsr.metrics import calculate_psnr
    from basicsr.utils import tensor2img

    metric = {"type": "calculate_psnr", "crop_border": 0, "test_y_channel": True}
    block = load_config(tiny(val={"metrics": {"y": metric}})).val.metrics["y"]
    a, b = torch.rand(2, 1, 3, 16, 16)
    expected = calculate_psnr(tensor2img(a), tensor2img(b), 0, test_y_channel=True)
    assert basicsr_score(block, a, b) == pytest.approx(expected)


class TestCommandLine:
    def script(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, str(ROOT / "basicsr/train.py"), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **environment},
        )

    def test_a_mistake_ends_with_status_2_and_no_traceback(self, tiny, in_tmp):
        done = self.script("-opt", tiny(nam="x"))
        assert done.returncode == 2
        assert done.stderr.startswith("error: tiny.yml: nam: unknown key; did you mean 'name'?")
        assert "Traceback" not in done.stderr
        assert not (in_tmp / "experiments").exists()

    def test_debug_makes_a_short_trial_of_its_own(self, tiny, in_tmp):
        assert run("--opt", tiny(train={"total_iter": 1000}), "--debug") == 0
        assert run("--opt", tiny(train={"total_iter": 1000}), "--debug") == 0  # again
        state = storage.read("experiments/debug_tiny/training_states/latest.state")
        assert state["iteration"] == train.DEBUG["total_iter"]

    def test_what_is_asked_for_by_force_yml_wins_over_debug(self, tiny):
        asked = ["--force_yml", "train:total_iter=3", "name=mine"]
        assert run("--opt", tiny(), "--debug", *asked) == 0
        state = storage.read("experiments/debug_mine/training_states/latest.state")
        assert state["iteration"] == 3


def test_yaml_of_a_run_is_plain(tiny, in_tmp):
    run("--opt", tiny())
    assert isinstance(yaml.safe_load((in_tmp / "experiments/tiny/options.yml").read_text()), dict)
